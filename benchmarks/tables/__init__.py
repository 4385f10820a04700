"""One table a file; each has ``measure(plan) -> Table``."""
