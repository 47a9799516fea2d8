"""The doors: AWS Query, REST, and the one where agents report."""
