"""The checks of ``jrc doctor``: of everything between this machine and a kernel."""
