"""What jrc costs beside its peers and beside the floor. Run it with ``nox -s benchmarks``."""
