"""Another user of this machine, as whom the tests act where they run as root."""

import os

import pytest

OTHER = 65534
"""The number of a user, and of a group, that nobody is: ``nobody`` where there is such a name."""

second_user = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="needs a second user: run the tests as root"
)
