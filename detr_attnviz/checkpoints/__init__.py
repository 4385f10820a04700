"""A path or a name → canonical tensors; builds nothing."""
