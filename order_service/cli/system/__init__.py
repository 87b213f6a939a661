"""What is about the whole installation: it finds all services by entry point."""
