"""Messages as an ipykernel has them: frames and dictionaries; and attributes that are hooked."""

from __future__ import annotations

import json
import zlib
from typing import Any

RECORDER_VERSION = 3
RECORDER_PROTOCOL = 1
METADATA_KEY = "jrc"
MESSAGE_PREFIX = "jrc_"
AGAIN_KEY = "jrc_again"
ATTRIBUTE = "_jrc_recorder"

DELIMITER = b"<IDS|MSG>"


class Hooks:
    """Attributes of other objects that were replaced, and can be put back."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any, bool, Any]] = []

    def replace(self, owner: Any, name: str, hook: Any) -> None:
        own = vars(owner)
        self._replaced.append((owner, name, hook, name in own, own.get(name)))
        setattr(owner, name, hook)

    def restore(self) -> None:
        """Put everything back, except where somebody else hooked over ours: ours passes through."""
        for owner, name, hook, was_own, previous in reversed(self._replaced):
            if vars(owner).get(name) is not hook:
                continue
            if was_own:
                setattr(owner, name, previous)
            else:
                delattr(owner, name)
        self._replaced = []


def fields_of(parent: Any) -> Any:
    """What a request's metadata says to us; None when it says nothing."""
    fields = (parent.get("metadata") or {}).get(METADATA_KEY)
    return fields if isinstance(fields, dict) and isinstance(fields.get("run"), str) else None


def code_of(msg: Any, fields: Any) -> str:
    """The code that a request carries for us, taken out of it."""
    if fields.pop("packed", False):
        return str(json.loads(zlib.decompress(msg["buffers"].pop(0))))
    return str(fields.pop("code"))


def captures(header: Any, content: Any) -> bool:
    """Whether this message makes an output widget capture what a request publishes.

    Its client keeps that output then, and reports its content to the kernel.
    Source: ipywidgets ``widget_output.py``.
    """
    if b'"comm_msg"' not in bytes(header) or b'"msg_id"' not in bytes(content):
        return False
    data = json.loads(bytes(content)).get("data")
    state = data.get("state") if isinstance(data, dict) else None
    return isinstance(state, dict) and bool(state.get("msg_id"))


def delimiter_index(frames: Any) -> int | None:
    """Where identities end and the message begins; None for frames that are no Jupyter message."""
    for at, frame in enumerate(frames[:-5]):
        if frame == DELIMITER:
            return int(at)
    return None


def stamped(metadata: Any, run_id: str, number: int) -> bytes:
    """A metadata frame, with the run and the number added as its last key."""
    stamp = b'"%s":{"run":"%s","n":%d}}' % (METADATA_KEY.encode(), run_id.encode(), number)
    inner = bytes(metadata).strip()[1:-1]
    return b"{" + inner + b"," + stamp if inner.strip() else b"{" + stamp


def with_reason(parent: Any, metadata: Any, reason: str) -> Any:
    """Reply metadata that says why a request of a run is no longer recorded."""
    try:
        fields = fields_of(parent)
        if fields is not None:
            added = {METADATA_KEY: {"run": fields["run"], "disabled": reason}}
            return dict(metadata or {}, **added)
    except Exception:
        return metadata
    return metadata


def reason_of(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}"
