"""What an agent measures of its nodes, and how the service's metrics follow from it."""
