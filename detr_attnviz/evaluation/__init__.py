"""Which method tells the truth about a model: what its maps predict is held against what the model then does."""
