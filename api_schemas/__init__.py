"""Shapes and promises: what callers, the control plane and the agents say to one another. Imports nothing of ours."""
