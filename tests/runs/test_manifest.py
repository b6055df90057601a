"""What a run says of itself, read from a server that may say anything."""

import base64
import json
import zlib
from pathlib import Path

import pytest

from jrc.errors import WireError
from jrc.notebook.document import load
from jrc.runs.manifest import About, about_from_json


def packed(data: bytes) -> str:
    return base64.b85encode(zlib.compress(data)).decode()


@pytest.fixture
def told(tmp_path: Path) -> dict[str, object]:
    path = tmp_path / "a.py"
    path.write_text("# %%\n1\n")
    return About("ada@desk", load(path, args=["x"]), ["a"], first=0).to_json()


def test_it_comes_back(told: dict[str, object]) -> None:
    about = about_from_json(json.loads(json.dumps(told)))
    assert (about.owner, about.requests, about.document.args) == ("ada@desk", ["a"], ["x"])


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 0},
        {"packed": None},
        {"packed": "not zlib"},
        {"packed": packed(b"{}")},
        {"packed": packed(b"[]")},
        {"packed": packed(b"[" * 100_000)},
    ],
)
def test_what_can_not_be_understood_is_an_error(
    told: dict[str, object], changed: dict[str, object]
) -> None:
    with pytest.raises(WireError):
        about_from_json({**told, **changed})


def test_a_document_that_unpacks_without_end_is_not_read(
    told: dict[str, object],
) -> None:
    with pytest.raises(WireError, match="larger than"):
        about_from_json({**told, "packed": packed(bytes(2 << 20))}, most=1 << 20)


@pytest.mark.attacks
@pytest.mark.parametrize(
    "changed",
    [
        {"requests": ["a", "b"]},
        {"first": -1},
        {"first": 1},
        {"first": 1e999},
        {"notebook": {"cells": [{"cell_type": "code", "source": 5}], "metadata": {}}},
        {"notebook": {"cells": [5], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}},
        {"lines": {"a": 1e999}},
    ],
)
def test_what_is_inside_fits_together(told: dict[str, object], changed: dict[str, object]) -> None:
    inside = json.loads(zlib.decompress(base64.b85decode(str(told["packed"]))))
    data = json.dumps({**inside, **changed}).encode()
    with pytest.raises(WireError):
        about_from_json({**told, "packed": packed(data)})


def test_a_record_of_our_own_is_read_whatever_its_size(told: dict[str, object]) -> None:
    with pytest.raises(WireError, match="larger than 10 bytes"):
        about_from_json(told, most=10)
    assert about_from_json(told, most=0).owner == "ada@desk"
