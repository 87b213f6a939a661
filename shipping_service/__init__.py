"""Shipping: books parcels with carriers, cancels them or hands them over, once per order."""
