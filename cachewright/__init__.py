"""A managed cache on your own machines."""
