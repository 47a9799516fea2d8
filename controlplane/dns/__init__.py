"""The DNS door: names of endpoints, answered from what is desired and reported at that moment."""
