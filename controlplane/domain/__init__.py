"""Frozen values and the knowledge about them."""
