"""Messages, each worked once: inbox, state and outbox in one transaction per batch. Start with handling.py."""
