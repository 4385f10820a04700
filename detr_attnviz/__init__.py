"""Shows where a DETR detector looks."""

__version__ = "0.1.0.dev0"
