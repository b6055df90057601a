"""The messages that a client sends to a kernel."""

import getpass
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jrc.wire.message import Message, message_id, new_message


class Requests:
    """Makes the messages of one client, with ids that nobody else uses.

    Attributes:
        session: hex id of the client; also the ``session_id`` of its websocket.
    """

    def __init__(self) -> None:
        self.session = secrets.token_hex(16)
        self._username = user_name()
        self._count = 0

    def execute(
        self,
        code: str,
        *,
        stop_on_error: bool,
        allow_stdin: bool,
        user_expressions: dict[str, str],
        store_history: bool,
        metadata: dict[str, Any],
        buffers: Sequence[bytes] = (),
    ) -> Message:
        """An ``execute_request`` whose output is shown."""
        content = {
            "code": code,
            "silent": False,
            "store_history": store_history,
            "user_expressions": user_expressions,
            "allow_stdin": allow_stdin,
            "stop_on_error": stop_on_error,
        }
        request = self._message("shell", "execute_request", content, metadata=metadata)
        return replace(request, buffers=tuple(buffers)) if buffers else request

    def execute_silently(self, code: str) -> Message:
        """An ``execute_request`` that shows nothing and leaves no trace in the history."""
        return self.of_content(
            {
                "code": code,
                "silent": True,
                "store_history": False,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": False,
            }
        )

    def of_content(self, content: dict[str, Any]) -> Message:
        """An ``execute_request`` of a content that somebody else made."""
        return self._message("shell", "execute_request", content)

    def control(self, msg_type: str, content: dict[str, Any]) -> Message:
        """A request on the control channel, which the kernel answers while it executes."""
        return self._message("control", msg_type, content)

    def kernel_info(self) -> Message:
        return self._message("shell", "kernel_info_request", {})

    def input_reply(self, value: str, request: Message) -> Message:
        """The answer to an ``input_request``."""
        return self._message(
            "stdin",
            "input_reply",
            {"value": value, "status": "ok"},
            parent_header=request.header_fields,
        )

    def comm_message(
        self, comm_id: str, data: dict[str, Any], parent_header: dict[str, Any]
    ) -> Message:
        return self._message(
            "shell", "comm_msg", {"comm_id": comm_id, "data": data}, parent_header=parent_header
        )

    def _message(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        *,
        parent_header: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Message:
        self._count += 1
        return new_message(
            channel,
            msg_type,
            content,
            msg_id=message_id(self.session, self._count),
            session=self.session,
            username=self._username,
            date=datetime.now(UTC).isoformat(),
            parent_header=parent_header,
            metadata=metadata,
        )


def user_name() -> str:
    """Who runs this process; ``unknown`` where the system has no name for it (some containers)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def owner() -> str:
    """Who runs this, and where: the part of a session's path that says whose kernel it is."""
    return f"{user_name()}@{socket.gethostname()}"
