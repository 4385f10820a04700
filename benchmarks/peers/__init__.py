"""Those that are measured: each a script of its own, run in a process of its own with its own defaults."""
