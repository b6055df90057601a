"""What the codec tests share."""

import pytest
from jupyter_client.session import Session


@pytest.fixture(scope="session")
def session() -> Session:
    """The oracle, without a key: a websocket has no signatures."""
    return Session(key=b"", check_pid=False)
