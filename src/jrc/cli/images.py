"""``--output-image``: the images that remote code shows, as files."""

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.cli.rendering import image_type
from jrc.errors import ConfigError, UsageError
from jrc.profile.files import write_atomically
from jrc.run.events import CellOutput, Notice, RunEvent

if TYPE_CHECKING:
    from jrc.run.progress import Listener

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}


class ImageFiles:
    """A listener that saves each image, and passes everything on to another listener.

    Args:
        listener: the other one.
        place: a folder, which gets ``1.png``, ``2.png``, …; or the file of the first image, beside
            which the next ones are ``NAME-2.png``, ….

    Raises:
        UsageError: the folder can't be made.
    """

    def __init__(self, listener: "Listener", place: Path) -> None:
        self._listener = listener
        self._place = place
        self._is_file = place.suffix.lower() in (*_SUFFIXES.values(), ".jpeg")
        self._count = 0
        self._of_display: dict[str, int] = {}
        self._broken = False
        folder = place.parent if self._is_file else place
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(f"Can't make the folder {folder} for images: {reason}.") from error

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        return await self._listener.ask(prompt, hidden=hidden)

    def on_event(self, event: RunEvent) -> None:
        self._listener.on_event(event)
        if isinstance(event, CellOutput) and not self._broken:
            data = event.output.get("data")
            if isinstance(data, dict) and (kind := image_type(data)) is not None:
                self._save(kind, data[kind], event.display_id)

    def _save(self, kind: str, value: object, display_id: str | None) -> None:
        text = "".join(map(str, value)) if isinstance(value, list) else str(value)
        try:
            content = text.encode() if kind == "image/svg+xml" else _decoded(text)
        except (binascii.Error, ValueError):
            return
        try:
            write_atomically(self._path(self._number(display_id), _SUFFIXES[kind]), content)
        except ConfigError as error:
            self._broken = True
            self._listener.on_event(Notice("saved", error.message))

    def _number(self, display_id: str | None) -> int:
        """A new one, but for what replaces an image that was shown before."""
        if display_id is not None and display_id in self._of_display:
            return self._of_display[display_id]
        self._count += 1
        if display_id is not None:
            self._of_display[display_id] = self._count
        return self._count

    def _path(self, number: int, suffix: str) -> Path:
        if not self._is_file:
            return self._place / f"{number}{suffix}"
        if number == 1 and suffix == self._place.suffix.lower().replace(".jpeg", ".jpg"):
            return self._place
        return self._place.with_name(f"{self._place.stem}-{number}{suffix}")


def _decoded(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)
