"""Payment: holds, takes and gives back money at the card network, once per order."""
