"""The speed table of the README, reproducible."""
