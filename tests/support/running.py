"""Runs inside the test's own process, and ``jrc run`` as a command."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jrc.notebook.document import load
from jrc.run.events import CellOutput, RunEvent, RunStarted
from jrc.run.job import Job
from jrc.run.options import CellOptions, KernelOptions, Options
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer
from tests.support.proxy import Proxy

TICKS = "import time\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.1)"
"""Forty lines in four seconds."""

SLEEP = "import time\nprint('on', flush=True)\ntime.sleep(60)"
"""One line, and a minute of nothing."""


def write_notebook(path: Path, sources: Sequence[str]) -> Path:
    """A notebook of these code cells."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(sources)
    ]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content))
    return path


@dataclass
class Recorder:
    """A listener that keeps every event, and answers questions from a list."""

    answers: list[str] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def can_answer(self) -> bool:
        return bool(self.answers)

    def on_event(self, event: RunEvent) -> None:
        self.events.append(event)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        self.asked.append((prompt, hidden))
        return self.answers.pop(0)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


_OF_THE_KERNEL = {
    "kernel": "spec",
    "kernel_id": "id",
    "start_timeout": "start_timeout",
    "keep_kernel": "keep",
    "keep_kernel_on_error": "keep_on_error",
}
_OF_CELLS = {
    "first": "first",
    "cell_timeout": "timeout",
    "allow_errors": "allow_errors",
    "mark_error": "mark_error",
    "allow_loss": "allow_loss",
}


def options_of(**given: Any) -> Options:
    """The options of a run by their names on the command line, whatever group they are in."""

    def group(names: dict[str, str]) -> dict[str, Any]:
        return {name: given.pop(word) for word, name in names.items() if word in given}

    kernel, cells = KernelOptions(**group(_OF_THE_KERNEL)), CellOptions(**group(_OF_CELLS))
    return Options(kernel=kernel, cells=cells, **given)


class SwallowedAnswer(Recorder):
    """Gives its first answer into a line that loses it, and breaks after it.

    Args:
        proxy: the line.
        answers: all of them.
    """

    def __init__(self, proxy: Proxy, answers: list[str]) -> None:
        super().__init__(answers)
        self._proxy = proxy

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        if not self.asked:
            await asyncio.to_thread(self._proxy.black_hole, swallow=True)
            asyncio.get_running_loop().call_later(0.5, self._break, self._proxy.bytes_up)
        return await super().ask(prompt, hidden=hidden)

    def _break(self, sent: int) -> None:
        assert self._proxy.bytes_up > sent, "no answer was swallowed"
        asyncio.get_running_loop().run_in_executor(None, self._come_back)

    def _come_back(self) -> None:
        self._proxy.cut(refuse=True)
        self._proxy.restore()


def client_of(server: JupyterServer, *, url: str | None = None) -> ServerClient:
    """A client with the server's token, going to ``url`` (a proxy in front of it) if given."""
    address, token = ServerAddress.parse(f"{url or server.url}?token={server.token}")
    assert token is not None
    return ServerClient(address, TokenAuth(token))


async def run_document(
    server: JupyterServer,
    path: Path,
    output: Path,
    *,
    listener: Recorder | None = None,
    url: str | None = None,
    args: list[str] | None = None,
    **options: Any,
) -> int:
    """What ``jrc run PATH -o OUTPUT`` does, without the process around it."""
    async with client_of(server, url=url) as client:
        job = Job(
            load(path, args=args or []),
            client,
            options=options_of(**options),
            listener=listener or Recorder(),
            output=output,
        )
        return await job.run()


def profile_of(server: JupyterServer, *, url: str | None = None) -> dict[str, str]:
    """The environment that makes ``jrc`` go to this server."""
    return {"JRC_URL": url or server.url, "JRC_TOKEN": server.token}


def notebook(folder: Path, *sources: str) -> Path:
    """The notebook ``document.ipynb`` in a folder, of these code cells."""
    return write_notebook(folder / "document.ipynb", sources)


def stdout_of(path: Path, cell: int = 0) -> str:
    """What a cell of a saved notebook printed."""
    outputs = json.loads(path.read_text())["cells"][cell]["outputs"]
    return "".join("".join(o["text"]) for o in outputs if o.get("name") == "stdout")


async def when(condition: Callable[[], Any], act: Callable[[], Awaitable[None] | None]) -> None:
    """Act as soon as the condition holds."""
    while not condition():
        await asyncio.sleep(0.02)
    done = act()
    if done is not None:
        await done


def saw(listener: Recorder, text: str) -> Callable[[], bool]:
    """Whether the output that arrived until now contains the text."""
    return lambda: any(text in str(e.output.get("text")) for e in listener.of(CellOutput))


async def run_with_fault(
    server: JupyterServer,
    path: Path,
    output: Path,
    *,
    after: str,
    fault: Callable[[Recorder], Any],
    listener: Recorder | None = None,
    **options: Any,
) -> Recorder:
    """Run a document and let something happen once it printed ``after``."""
    listener = listener or Recorder()
    breaking = asyncio.create_task(
        when(saw(listener, after), lambda: asyncio.to_thread(fault, listener))
    )
    try:
        await run_document(server, path, output, listener=listener, **options)
    finally:
        breaking.cancel()
    return listener


def kernel_of(listener: Recorder) -> str:
    """The id of the kernel that a run was told of."""
    (started,) = listener.of(RunStarted)
    return str(started.kernel_id)
