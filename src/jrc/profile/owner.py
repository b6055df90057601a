"""Who runs jrc: the part of a session's path and of a run's record that says whose it is."""

import getpass
import socket


def user_name() -> str:
    """Who runs this process; ``unknown`` where the system has no name for it (some containers)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def owner() -> str:
    """Who runs this, and where: ``user@host``."""
    return f"{user_name()}@{socket.gethostname()}"
