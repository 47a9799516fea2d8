"""What the control plane and an agent say to each other: levels, never commands. Delivering one twice changes nothing."""
