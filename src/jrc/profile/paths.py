"""Where jrc keeps its files: configuration, state and logs."""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from jrc.visible import visible_lines


class Paths(NamedTuple):
    """The folders that jrc writes to. None of them needs to exist yet.

    Attributes:
        config: what a person may edit: profiles, and secrets where no keyring is.
        state: what jrc remembers between commands.
        logs: what went wrong, in detail.
    """

    config: Path
    state: Path
    logs: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        """The platform's own folders, or ``config``, ``state`` and ``logs`` under ``JRC_HOME``."""
        home = os.environ.get("JRC_HOME")
        if home:
            folder = Path(home).expanduser().absolute()
            return cls(config=folder / "config", state=folder / "state", logs=folder / "logs")
        from platformdirs import PlatformDirs

        # Without appauthor=False, Windows paths would repeat the name: …/jrc/jrc.
        folders = PlatformDirs("jrc", appauthor=False)
        return cls(
            config=folders.user_config_path,
            state=folders.user_state_path,
            logs=folders.user_log_path,
        )


def write_crash_log(paths: Paths, error: BaseException) -> Path:
    """Write the traceback of a bug to a file that only its owner can read.

    Args:
        paths: jrc's folders.
        error: what was raised.

    Returns:
        the new file: in ``logs``, or among the temporary files where ``logs`` can't be written.
    """
    import tempfile
    import traceback

    text = f"jrc on Python {sys.version}, {sys.platform}\n\n"
    text += visible_lines("".join(traceback.format_exception(error)))
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    try:
        from jrc.profile.files import create_folder

        create_folder(paths.logs, private=True)
        # mkstemp's files are new, so nobody can have prepared one, and have mode 0600.
        handle, name = tempfile.mkstemp(".log", f"crash-{stamp}-", paths.logs)
    except OSError:
        handle, name = tempfile.mkstemp(".log", f"jrc-crash-{stamp}-")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)
