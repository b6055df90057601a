"""Files that get parts of a run's output, beside the result: what is printed, and images."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from jrc.cli.rendering import image_type
from jrc.cli.run_options import Copies
from jrc.cli.terminal import Terminal
from jrc.errors import ConfigError, UsageError
from jrc.profile.files import open_to_write, unwritten, way_out, write_atomically
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


@contextmanager
def with_copies(
    listener: "Listener", copies: Copies, terminal: Terminal, most: int
) -> Iterator["Listener"]:
    """The listener, which also writes the files that are asked for, if any.

    Args:
        listener: gets every event.
        copies: the files.
        terminal: where trouble is said.
        most: the mode of new files.

    Raises:
        UsageError: a file or a folder can't be written.
    """
    named = {"stdout": copies.stdout, "stderr": copies.stderr}
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for stream, path in named.items():
            if path is None:
                continue
            try:
                file = open_to_write(path, most=most)
            except OSError as error:
                what = unwritten(f"--{stream}-file {path}", error)
                raise UsageError(what, hint=way_out(error)) from error
            stack.callback(_close, file)
            files[stream] = file
        if files:
            listener = StreamFiles(listener, files, terminal.warn)
        yield listener if copies.images is None else ImageFiles(listener, copies.images, most)


def _close(file: TextIO) -> None:
    with suppress(OSError):
        # What could not be written was reported already; closing fails for the same reason.
        file.close()


class StreamFiles:
    """A listener that also writes what cells print into files.

    Args:
        listener: receives every event as well.
        files: by the name of the stream.
        trouble: called with a sentence when a file can't be written any more; the run continues.
    """

    def __init__(
        self, listener: "Listener", files: Mapping[str, TextIO], trouble: Callable[[str], None]
    ) -> None:
        self._listener = listener
        self._files = dict(files)
        self._trouble = trouble

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, CellOutput) and event.output["output_type"] == "stream":
            self._write(str(event.output["name"]), str(event.output["text"]))
        self._listener.on_event(event)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        return await self._listener.ask(prompt, hidden=hidden)

    def _write(self, stream: str, text: str) -> None:
        file = self._files.get(stream)
        if file is None:
            return
        try:
            file.write(text)
            file.flush()
        except OSError as error:
            del self._files[stream]
            self._trouble(f"Can't write to {file.name}: {error.strerror}. It ends there.")


class ImageFiles:
    """A listener that saves each image, and passes everything on to another listener.

    Args:
        listener: the other one.
        most: the mode of new files.
        place: a folder, which gets ``1.png``, ``2.png``, …; or the file of the first image, beside
            which the next ones are ``NAME-2.png``, ….

    Raises:
        UsageError: the folder can't be made.
    """

    def __init__(self, listener: "Listener", place: Path, most: int = 0o666) -> None:
        self._listener = listener
        self._most = most
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
        except ValueError:
            return
        try:
            path = self._path(self._number(display_id), _SUFFIXES[kind])
            write_atomically(path, content, most=self._most)
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
    import base64

    return base64.b64decode("".join(text.split()), validate=True)
