"""A server that answers as a Jupyter Server or a hub does, but for one answer."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

from jrc.notebook.document import load
from jrc.recorder.in_kernel.frames import METADATA_KEY
from jrc.recorder.in_kernel.records import IOPUB, NOTE, SHELL, encode_record
from jrc.runs.manifest import About
from jrc.wire.message import encode_object
from tests.support.running import write_notebook
from tests.support.scripted import busy, idle, reply, stream
from tests.support.web import Reply, Web

KERNEL_ID = "0b9fa7e4-1d5f-4c7e-9d5f-1d5f4c7e9d5f"
RUN = "0a1b2c3d"
OWNER = "eve@desk"
FOLDER = "jrc-runs"

KERNEL = {
    "id": KERNEL_ID,
    "name": "python3",
    "last_activity": "2026-11-22T12:00:00.000000Z",
    "execution_state": "idle",
    "connections": 1,
}
SESSION = {
    "id": "5e55",
    "path": f"jrc/{OWNER}/a.ipynb-{RUN}",
    "name": "a.ipynb",
    "type": "notebook",
    "kernel": KERNEL,
}
SPECS = {
    "default": "python3",
    "kernelspecs": {
        "python3": {
            "name": "python3",
            "spec": {
                "display_name": "Python 3",
                "language": "python",
                "argv": ["python"],
                "metadata": {"debugger": True},
            },
            "resources": {},
        }
    },
}
IDENTITY = {"identity": {"username": "eve", "display_name": "Eve"}, "permissions": {}}
STATE = {
    "run": RUN,
    "instance": "i",
    "opened": 1790000000.5,
    "count": 4,
    "gone": 0,
    "running": 0,
    "done": 1,
    "last": {"owner": OWNER, "document": "a.ipynb", "cells": 1, "name": "n", "cell": 1},
    "stopped": "",
    "asking": 0,
    "journal": f"/srv/{FOLDER}/{RUN}.jrcjournal",
    "journal_error": "",
    "ending": False,
    "journaled": 4,
}


def entry(name: str, **more: Any) -> dict[str, Any]:
    """A file as ``/api/contents`` says it."""
    return {
        "name": name,
        "path": f"{FOLDER}/{name}",
        "type": "file",
        "size": 1000,
        "last_modified": "2026-11-22T12:00:00Z",
        "content": None,
        "format": None,
        "writable": True,
        **more,
    }


def in_base64(name: str, data: bytes) -> dict[str, Any]:
    """A file with its content."""
    return entry(name, content=base64.b64encode(data).decode(), format="base64")


def about(folder: Path) -> dict[str, Any]:
    """What a run says of itself in its journal."""
    document = load(write_notebook(folder / "a.ipynb", ["print(1)"]), args=[])
    return About(OWNER, document, ["r"]).to_json()


def inside_of(told: dict[str, Any]) -> Any:
    """What is packed in what a run says of itself."""
    return json.loads(zlib.decompress(base64.b85decode(told["packed"])))


def packed(told: dict[str, Any], inside: str) -> dict[str, Any]:
    """The same with another JSON text inside."""
    data = zlib.compress(inside.encode("utf-8", "surrogatepass"))
    return {**told, "packed": base64.b85encode(data).decode()}


Frames = tuple[int, list[bytes]]
"""The channel of a recorded message, and its frames."""


def messages_of_a_cell(text: str = "text\n") -> list[Frames]:
    """What a cell that prints a text publishes, as the recorder numbers it."""
    messages = [busy("r"), stream("r", text), reply("r"), idle("r")]
    return [
        (
            SHELL if message.channel == "shell" else IOPUB,
            [
                bytes(message.header),
                bytes(message.parent_header),
                encode_object({METADATA_KEY: {"run": RUN, "n": number}}),
                bytes(message.content),
            ],
        )
        for number, message in enumerate(messages, 1)
    ]


def journal(notes: list[bytes], said: list[Frames]) -> bytes:
    """A journal with these notes, and messages behind them."""
    data = b"".join(encode_record(0, NOTE, [note]) for note in notes)
    for number, (channel, frames) in enumerate(said, 1):
        data += encode_record(number, channel, frames)
    return data


def notes(told: dict[str, Any]) -> list[Any]:
    """The notes of a journal."""
    return [
        {"run": RUN, "instance": "i", "about": told},
        {"opened": 1790000000.5},
        {"request": "r", "fields": {"cell": 1}},
    ]


def jupyter_answers(folder: Path) -> dict[str, Any]:
    """What a Jupyter Server with one run answers, by path."""
    files = [entry(f"{RUN}.jrcjournal"), entry(f"{RUN}.json")]
    return {
        "/api": {"version": "2.14.0"},
        "/api/status": {"kernels": 1, "connections": 1, "started": "2026-11-22T12:00:00Z"},
        "/api/me": IDENTITY,
        "/api/kernelspecs": SPECS,
        "/api/kernels": [KERNEL],
        f"/api/kernels/{KERNEL_ID}": KERNEL,
        f"/api/kernels/{KERNEL_ID}/restart": KERNEL,
        f"/api/kernels/{KERNEL_ID}/interrupt": None,
        "/api/sessions": [SESSION],
        "/api/sessions/5e55": SESSION,
        f"/api/contents/{FOLDER}": {**entry(FOLDER), "type": "directory", "content": files},
        f"/api/contents/{FOLDER}/{RUN}.json": in_base64(f"{RUN}.json", json.dumps(STATE).encode()),
        f"/api/contents/{FOLDER}/{RUN}.jrcjournal": in_base64(
            f"{RUN}.jrcjournal",
            journal(
                [json.dumps(note).encode() for note in notes(about(folder))], messages_of_a_cell()
            ),
        ),
    }


HUB_USER = {
    "name": "eve",
    "admin": False,
    "scopes": ["access:servers!user=eve", "servers!user=eve", "read:users!user=eve"],
    "server": "/user/eve/",
    "servers": {
        "": {
            "name": "",
            "ready": True,
            "pending": None,
            "url": "/user/eve/",
            "full_url": None,
            "started": "2026-11-22T12:00:00Z",
            "user_options": {},
        }
    },
}


def hub_answers() -> dict[str, Any]:
    """What a JupyterHub and the server of one user answer, by path."""
    return {
        "/hub/api": {"version": "5.0.0"},
        "/hub/api/": {"version": "5.0.0"},
        "/hub/api/user": HUB_USER,
        "/hub/api/users/eve": HUB_USER,
        "/hub/api/users/eve/tokens": {"token": "t", "id": "a1"},
        "/hub/api/users/eve/server": {},
        "/hub/api/users/eve/server/progress": PROGRESS,
        "/user/eve/api": {"version": "2.14.0"},
        "/user/eve/api/status": {"kernels": 0},
        "/user/eve/api/kernels": [KERNEL],
        "/user/eve/api/sessions": [SESSION],
        "/user/eve/api/kernelspecs": SPECS,
    }


PROGRESS = {"progress": 100, "message": "ready", "ready": True, "url": "/user/eve/"}


class HostileServer(Web):
    """Gives prepared answers, and others for the paths that a test chose.

    Args:
        answers: JSON values by path.
        headers: of each answer.

    Attributes:
        answers: as given.
        odd: whole answers by path; they go first.
    """

    def __init__(self, answers: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__({})
        self.answers = answers
        self.odd: dict[str, Reply] = {}
        self._headers = headers or {}

    def _reply(self, path: str) -> Reply:
        path = path.partition("?")[0]
        asked = self.requests[-1]
        if path.endswith("/api/status") and "authorization" not in asked.headers:
            return Reply(403, b'{"message": "Forbidden"}', headers=self._headers)
        if path in self.odd:
            return self.odd[path]
        if path not in self.answers:
            return Reply(404, b'{"message": "nothing here"}', headers=self._headers)
        value = self.answers[path]
        if asked.method == "DELETE" or value is None:
            return Reply(204, headers=self._headers)
        if asked.method == "POST" and isinstance(value, list):
            value = value[0]
        body = json.dumps(value)
        if path.endswith("/progress"):
            return Reply(200, f"data: {body}\n\n".encode(), "text/event-stream", self._headers)
        return Reply(200, body.encode(), headers=self._headers)
