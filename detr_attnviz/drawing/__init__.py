"""From arrays to pictures; knows no model."""
