"""One Jupyter-compatible server: its REST interface, authentication and kernel channels."""
