"""The outside world: what it can say, and a simulated one."""
