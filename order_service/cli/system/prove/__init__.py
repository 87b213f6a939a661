"""`fulfillment prove`: orders of every fate while everything is broken on purpose, and whether all adds up then."""
