"""Runs that outlive their client: where they are, how they are, their end."""
