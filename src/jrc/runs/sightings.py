"""What was seen of the runs last: for the time when their server can't be asked."""

import json
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any

from jrc.errors import JrcError
from jrc.profile.files import write_atomically
from jrc.profile.paths import Paths
from jrc.shapes import parse


class Sightings:
    """One private file in the state folder.

    Args:
        paths: where that is.
    """

    def __init__(self, paths: Paths) -> None:
        self._path = paths.state / "runs-seen.json"

    def read(self) -> dict[str, Mapping[str, Any]]:
        """What was seen, by the runs' ids."""
        try:
            saved = parse(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(saved, dict):
            return {}
        return {run: seen for run, seen in saved.items() if isinstance(seen, dict)}

    def write(self, seen: Mapping[str, Mapping[str, Any]], *, keep: Container[str]) -> None:
        """Note what was seen.

        Args:
            seen: by the runs' ids.
            keep: the runs that are still of interest.
        """
        before = self.read()
        now = {run: last for run, last in {**before, **seen}.items() if run in keep}
        if now == before:
            return
        # To list runs must work where nothing can be written.
        with suppress(JrcError):
            write_atomically(self._path, json.dumps(now), private=True)
