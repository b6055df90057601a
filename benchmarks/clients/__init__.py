"""Clients to compare with: two floors of our own, and two peers that have no command line."""
