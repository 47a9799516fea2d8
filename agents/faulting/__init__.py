"""The means by which faults are done to processes and to the network."""
