"""The mechanism that all four services share. It knows that messages exist, not what any of them means."""
