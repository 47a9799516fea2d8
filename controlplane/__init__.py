"""The brain: stores what is desired, plans, tells agents."""
