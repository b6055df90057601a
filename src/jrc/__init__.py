"""Edit in your own VS Code, execute on the kernels of a remote Jupyter Server."""
