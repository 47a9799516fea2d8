"""What we say to engines."""
