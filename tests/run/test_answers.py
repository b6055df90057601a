"""Output widgets: the kernel needs the client's answers, though all cells are sent at once."""

import json
from pathlib import Path

import pytest

from tests.run.corpus.make import WIDGET
from tests.support.jupyter import JupyterServer
from tests.support.proxy import Proxy
from tests.support.running import notebook, run_document, stdout_of

pytestmark = pytest.mark.anyio

OUT = """
import sys

class Out:
    def __init__(self):
        self.outputs = ()
        self.comm = widget("out", "OutputModel", "@jupyter-widgets/output", msg_id="", outputs=[])
        self.comm.on_msg(self.answered)

    def answered(self, message):
        self.outputs = message["content"]["data"]["state"]["outputs"]

    def __enter__(self):
        update(self.comm, msg_id=get_ipython().kernel.get_parent()["header"]["msg_id"])

    def __exit__(self, *_):
        sys.stdout.flush()
        update(self.comm, msg_id="")

out = Out()
"""

CELLS = [
    WIDGET + OUT,
    "print('before')",
    "with out: print('one')",
    "print([o['text'] for o in out.outputs])",
    "with out: print('two')",
    "print([o['text'] for o in out.outputs])",
    "print('after')",
]


@pytest.mark.parametrize("pipeline", [True, False], ids=["pipelined", "one by one"])
async def test_a_later_cell_sees_what_a_widget_captured(
    jupyter: JupyterServer, tmp_path: Path, pipeline: bool
) -> None:
    path, output = notebook(tmp_path, *CELLS), tmp_path / "out.ipynb"
    with Proxy(jupyter.url, delay_ms=50) as proxy:
        await run_document(jupyter, path, output, url=proxy.url, pipeline=pipeline)
    assert stdout_of(output, 3) == "['one\\n']\n"
    assert stdout_of(output, 5) == "['one\\ntwo\\n']\n"
    assert stdout_of(output, 6) == "after\n"
    cells = json.loads(output.read_text())["cells"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, 8))


async def test_only_what_follows_a_widget_waits(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is sent once where no widget captures, and those before it are never again."""
    from jrc.kernel.link import Link
    from jrc.wire.message import Message

    send, cells = Link.send, list[int]()

    async def noted(link: Link, message: Message) -> None:
        fields = message.metadata_fields.get("jrc", {})
        if "code" in fields:
            cells.append(fields["cell"])
        await send(link, message)

    monkeypatch.setattr(Link, "send", noted)
    await run_document(jupyter, notebook(tmp_path, *CELLS), tmp_path / "out.ipynb")
    assert cells == [1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]
