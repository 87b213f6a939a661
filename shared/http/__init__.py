"""The HTTP edge: one strict, documented manner of answering for all four services. Start with app.py."""
