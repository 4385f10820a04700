"""What a site saw, and maps computed from it when asked."""
