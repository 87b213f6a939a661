"""Inventory: sets goods aside for orders, gives them back or hands them over, and promises none twice."""
