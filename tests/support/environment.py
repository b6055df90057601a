"""What the environment says about the tests themselves, read before they get one of their own."""

import os

CAMPAIGN_RUNS = int(os.environ.get("JRC_CAMPAIGN_RUNS", "10"))

CAMPAIGN_SEED = (
    int(os.environ["JRC_CAMPAIGN_SEED"]) if os.environ.get("JRC_CAMPAIGN_SEED") else None
)

ATTACKS = int(os.environ.get("JRC_ATTACKS", "1"))
"""How many times the examples of a normal run the fuzzers try (``nox -s attacks``: 20)."""
