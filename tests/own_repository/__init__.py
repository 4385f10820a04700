"""A stand-in for a detector's research repository, which docs/own-model.md is run in: its layout, a few lines each."""
