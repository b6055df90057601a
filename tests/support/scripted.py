"""Messages as a kernel or a server would send them, for tests of pure code."""

import itertools
from typing import Any

from jrc.wire.message import Message, new_message

_ids = itertools.count(1)


def from_kernel(
    channel: str,
    msg_type: str,
    content: dict[str, Any],
    *,
    parent: str = "",
    buffers: tuple[bytes, ...] = (),
    date: str = "2026-11-22T12:00:00.000000Z",
) -> Message:
    """One message whose ``parent_header.msg_id`` is ``parent``."""
    return new_message(
        channel,
        msg_type,
        content,
        msg_id=f"kernel_{next(_ids)}",
        session="kernel",
        username="kernel",
        date=date,
        parent_header={"msg_id": parent} if parent else {},
        buffers=buffers,
    )


def busy(parent: str) -> Message:
    return from_kernel("iopub", "status", {"execution_state": "busy"}, parent=parent)


def idle(parent: str) -> Message:
    return from_kernel("iopub", "status", {"execution_state": "idle"}, parent=parent)


def stream(parent: str, text: str, name: str = "stdout") -> Message:
    return from_kernel("iopub", "stream", {"name": name, "text": text}, parent=parent)


def reply(parent: str, status: str = "ok", **fields: Any) -> Message:
    content = {"status": status, "execution_count": 1, **fields}
    return from_kernel("shell", "execute_reply", content, parent=parent)


def info_reply(parent: str) -> Message:
    return from_kernel("shell", "kernel_info_reply", {"status": "ok"}, parent=parent)
