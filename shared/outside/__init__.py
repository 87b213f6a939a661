"""The outside world: what it can say (answers.py), and a simulated one that keeps books (simulator.py)."""
