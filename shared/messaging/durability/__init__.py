"""What outlives a crash: inbox, outbox, dead letters."""
