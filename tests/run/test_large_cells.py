"""Cells and parameters that a stock server would not take as one message."""

import asyncio
import base64
import random
from pathlib import Path

import pytest

from jrc.errors import ConfigError
from tests.support.desk import Desk
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.running import notebook, run_document, stdout_of

pytestmark = pytest.mark.anyio

LIMIT = 10 << 20
TEXT = "\ud83d \x1b[1m 한글 " * (LIMIT // 16)
"""With what JSON has to escape."""

LARGE = f"text = {TEXT!a}\nprint(len(text))"

INCOMPRESSIBLE = f"x = '{base64.b64encode(random.Random(1).randbytes(LIMIT + 1000)).decode()}'"


@pytest.fixture(autouse=True)
def environment(jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRC_URL", jupyter.url)
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)


@pytest.mark.parametrize("detached", [False, True])
async def test_a_large_cell_is_compressed(
    jupyter: JupyterServer, tmp_path: Path, detached: bool
) -> None:
    path, desk = notebook(tmp_path, LARGE, "print('next')"), Desk(jupyter, tmp_path / "desk")
    assert len(LARGE) > LIMIT
    if detached:
        assert await desk.attach(await desk.begin(path)) == 0
    else:
        await run_document(jupyter, path, desk.output)
    assert stdout_of(desk.output) == f"{len(TEXT)}\n"
    assert stdout_of(desk.output, 1) == "next\n"


@pytest.mark.parametrize(
    ("source", "recorder"), [(INCOMPRESSIBLE, True), (LARGE, False)], ids=["too large", "plain"]
)
async def test_what_no_message_holds_is_named(
    jupyter: JupyterServer, tmp_path: Path, source: str, recorder: bool
) -> None:
    path = notebook(tmp_path, "1", source)
    async with asyncio.timeout(120):
        with pytest.raises(ConfigError, match=r"cell 2 is too large\. The server does not take"):
            await run_document(jupyter, path, tmp_path / "out.ipynb", recorder=recorder)


async def test_what_no_message_holds_is_named_before_a_detached_run(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    async with asyncio.timeout(120):
        with pytest.raises(ConfigError, match="too large"):
            await Desk(jupyter, tmp_path / "desk").begin(notebook(tmp_path, INCOMPRESSIBLE))


async def test_a_cell_that_its_server_does_not_take_is_named_before_a_detached_run(
    start_jupyter: StartJupyter, tmp_path: Path
) -> None:
    settings = {"ServerApp": {"tornado_settings": {"websocket_max_message_size": 3 << 20}}}
    desk = Desk(start_jupyter(settings=settings), tmp_path / "desk")
    source = INCOMPRESSIBLE[: 4 << 20] + "'"
    with pytest.raises(ConfigError, match=r"cell 2 is too large\. The server does not take"):
        await desk.begin(notebook(tmp_path, "1", source))
