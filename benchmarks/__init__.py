"""The speed table of the README, which anyone can repeat: ``python -m benchmarks``."""
