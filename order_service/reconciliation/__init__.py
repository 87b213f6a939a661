"""Finds where participants and orders differ, and heals what can be healed. Start with `reconciler.py`."""
