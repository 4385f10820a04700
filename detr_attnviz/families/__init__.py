"""What to run and where its attention lives: one family, one file."""
