"""When somebody last logged in to a profile: sessions that were refused look at it and go on."""

import os

from jrc.profile.files import create_folder, private_opener
from jrc.profile.paths import Paths


def note_login(paths: Paths, profile: str) -> None:
    """Leave a mark of a login that was saved just now.

    Raises:
        OSError: it can't be written.
    """
    folder = paths.state / "logins"
    create_folder(folder, private=True)
    with open(folder / profile, "wb", opener=private_opener):
        os.utime(folder / profile)


def login_stamp(paths: Paths, profile: str) -> int:
    """A number that changes with every login; 0 before the first."""
    try:
        return (paths.state / "logins" / profile).stat().st_mtime_ns
    except OSError:
        return 0
