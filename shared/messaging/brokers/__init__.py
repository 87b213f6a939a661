"""The brokers behind the port."""
