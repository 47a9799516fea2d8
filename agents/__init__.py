"""The hands: one agent per simulated host, each in an availability zone."""
