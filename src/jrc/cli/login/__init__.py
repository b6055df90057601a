"""``jrc login``: save a server and its credentials as a profile."""
