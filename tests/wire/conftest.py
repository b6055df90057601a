"""What the codec tests share."""

import pytest
from hypothesis import settings
from jupyter_client.session import Session

# Timing is measured in benchmarks/, never asserted in a test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def session() -> Session:
    """The oracle, without a key: a websocket has no signatures."""
    return Session(key=b"", check_pid=False)
