"""VS Code and its kin: kernelspecs, settings and the companion extension, written and undone."""
