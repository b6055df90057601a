"""Large text on the disk is the same text."""

import io
import json
import sys
from contextlib import closing
from json.encoder import encode_basestring
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.notebook import spool as spool_module
from jrc.notebook.outputs import Outputs
from jrc.notebook.spool import Spool, SpooledText, TerminalText, apply_carriage_returns
from jrc.notebook.writing import notebook_bytes
from tests.support.scripted import from_kernel, stream

SMALL = 16
"""Text longer than this goes to the disk in these tests."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "PIECE", SMALL)


@given(st.text(st.characters(), max_size=200))
def test_kept_text_comes_back(text: str) -> None:
    with closing(Spool()) as spool:
        kept = spool.keep(text)
        assert str(kept) == text
    assert isinstance(kept, SpooledText) == (len(text) > SMALL)


@given(st.lists(st.text("ab\r\né", max_size=12), max_size=30))
def test_growing_text_equals_the_rule_on_all_of_it(pieces: list[str]) -> None:
    with closing(Spool()) as spool:
        text = TerminalText(spool)
        for piece in pieces:
            text.append(piece)
        assert str(text.text()) == apply_carriage_returns("".join(pieces))


@given(st.lists(st.text("ab\n", max_size=12), max_size=30))
def test_memory_holds_no_more_of_a_stream_than_a_piece(pieces: list[str]) -> None:
    """Not even of a line that does not end."""
    with closing(Spool()) as spool:
        growing = TerminalText(spool)
        for piece in pieces:
            growing.append(piece)
        text = growing.text()
        parts = text.parts if isinstance(text, SpooledText) else [text]
        assert sum(len(part) for part in parts if isinstance(part, str)) <= SMALL


def notebook(outputs: list[dict[str, Any]]) -> bytes:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "", "execution_count": 1}
    content = {"cells": [{**cell, "outputs": outputs}], "metadata": {}, "nbformat": 4}
    return b"".join(notebook_bytes({**content, "nbformat_minor": 5}))


@given(st.lists(st.text('a"\\\n\réé', max_size=40), min_size=1, max_size=8))
def test_a_notebook_of_spooled_text_is_written_as_any_other(pieces: list[str]) -> None:
    with closing(Outputs()) as outputs:
        outputs.start(0)
        for piece in pieces:
            outputs.publish(0, stream("r", piece))
            data = {"image/png": piece, "text/plain": piece, "application/json": {"a": [piece]}}
            content = {"data": data, "metadata": {}}
            outputs.publish(0, from_kernel("iopub", "display_data", content, parent="r"))
        spooled = outputs.cell(0)
        plain = json.loads(json.dumps(spooled, default=str))
        assert notebook(spooled) == notebook(plain)


def test_a_full_disk_keeps_the_text_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool_module.tempfile, "TemporaryFile", lambda **_options: FullDisk())
    kept = Spool().keep("x" * 100)
    assert str(kept) == "x" * 100


if sys.platform != "win32":
    import resource

    def test_a_disk_that_gets_full_spoils_nothing_that_is_on_it() -> None:
        """The system refuses the rest: neither reading nor the end of the spool fails for it."""
        spool = Spool()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            kept = spool.keep("x" * 1000)
            assert str(kept) == "x" * 1000
            spool.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@given(st.text(st.characters() | st.sampled_from('"\\\n\x7f\x1f/+=')))
def test_plain_pieces_are_those_that_json_writes_as_they_are(text: str) -> None:
    with closing(Spool()) as spool:
        pieces = list(SpooledText(spool, spool.write(text)).pieces())
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:
        written = encode_basestring(piece.text)
        assert piece.plain == (piece.text.isascii() and written == f'"{piece.text}"')
