"""The deciding core: pure."""
