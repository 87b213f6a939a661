"""A soak: idle hours and light load in turn, and whether any process's memory or open files grow meanwhile."""
