"""From a trace to maps: one method, one file."""
