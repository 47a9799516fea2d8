"""Pytest fixtures; being written."""
