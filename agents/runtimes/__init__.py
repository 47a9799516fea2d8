"""Where engine processes live."""
