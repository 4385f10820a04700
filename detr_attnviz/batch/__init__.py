"""Many images: find, decode, forward, draw and write."""
