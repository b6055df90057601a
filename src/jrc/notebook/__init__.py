"""Documents, cells, outputs and the saved file. Knows no server."""
