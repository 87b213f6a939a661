"""One database per service."""
