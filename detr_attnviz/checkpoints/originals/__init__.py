"""Checkpoints of the relatives' original repositories → a transformers configuration and its tensors."""
