"""What customers and operators do, over HTTP only."""
