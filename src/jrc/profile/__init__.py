"""Saved servers: profiles, where they are kept, and their secrets."""
