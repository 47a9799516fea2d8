"""Certificates: our own authority, what it signs, and the TLS that is made of it."""
