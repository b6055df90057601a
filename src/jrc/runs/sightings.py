"""What was seen of the runs last, for a time when their server can't be asked."""

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
        paths: the folders of this computer.
    """

    def __init__(self, paths: Paths) -> None:
        self._path = paths.state / "runs-seen.json"

    def read(self) -> dict[str, Mapping[str, Any]]:
        """What was seen, by the ids of the runs."""
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
            seen: what was seen, by the ids of the runs.
            keep: the runs to remember; others are dropped.
        """
        before = self.read()
        now = {run: last for run, last in {**before, **seen}.items() if run in keep}
        if now == before:
            return
        # Listing runs works even if nothing can be written.
        with suppress(JrcError):
            write_atomically(self._path, json.dumps(now), private=True)
