"""The messages that a client sends to a kernel."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jrc.profile.owner import user_name
from jrc.wire.message import Message, Part, encode_object, message_id, new_message


def utc_now() -> str:
    """The time now, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


class Messages:
    """Makes the messages of one client, with unique ids.

    Pure code gets an instance as an argument: the defaults are not pure.

    Args:
        session: hex id that no other client has; a new one by default.
        username: for the headers; by default the user of this process.
        date: the time now, ISO 8601 in UTC.

    Attributes:
        session: hex id of the client; also the ``session_id`` of its websocket.
    """

    def __init__(
        self,
        *,
        session: str | None = None,
        username: str | None = None,
        date: Callable[[], str] = utc_now,
    ) -> None:
        self.session = secrets.token_hex(16) if session is None else session
        self._username = user_name() if username is None else username
        self._date = date
        self._count = 0

    def is_own(self, msg_id: str) -> bool:
        """Whether a message of this client has this id."""
        return msg_id.startswith(self.session)

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
        request = self.new("shell", "execute_request", content, metadata=metadata)
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

    def of_content(self, content: Mapping[str, Any]) -> Message:
        """An ``execute_request`` with this content."""
        return self.new("shell", "execute_request", content)

    def control(self, msg_type: str, content: Mapping[str, Any]) -> Message:
        """A request on the control channel, which the kernel answers while it executes."""
        return self.new("control", msg_type, content)

    def kernel_info(self, channel: str = "shell", *, subshell: str | None = None) -> Message:
        """A request that every kernel answers and that changes nothing.

        Args:
            channel: ``shell`` or ``control``.
            subshell: id of the kernel's subshell that must answer; None for its main shell.
        """
        message = self.new(channel, "kernel_info_request", {})
        if subshell is None:
            return message
        header = {**message.header_fields, "subshell_id": subshell}
        return replace(message, header=encode_object(header))

    def again(self, request: Message) -> Message:
        """The same request with a new id: a kernel drops one that it has already received."""
        content = request.content_fields
        return self.new(
            request.channel, request.msg_type, content, metadata=request.metadata_fields
        )

    def input_reply(self, value: str, request: Message) -> Message:
        """The answer to an ``input_request``."""
        return self.new(
            "stdin",
            "input_reply",
            {"value": value, "status": "ok"},
            parent_header=request.header,
        )

    def comm_message(
        self, comm_id: str, data: dict[str, Any], parent_header: dict[str, Any]
    ) -> Message:
        return self.new(
            "shell",
            "comm_msg",
            {"comm_id": comm_id, "data": data},
            parent_header=encode_object(parent_header),
        )

    def new(
        self,
        channel: str,
        msg_type: str,
        content: Mapping[str, Any],
        *,
        parent_header: Part = b"{}",
        metadata: Mapping[str, Any] | None = None,
    ) -> Message:
        """Any message.

        Args:
            channel: where it goes.
            msg_type: for example ``status``.
            content: the message's own fields.
            parent_header: header of the message that it answers.
            metadata: what is neither header nor content.
        """
        self._count += 1
        message = new_message(
            channel,
            msg_type,
            dict(content),
            msg_id=message_id(self.session, self._count),
            session=self.session,
            username=self._username,
            date=self._date(),
            metadata=dict(metadata or {}),
        )
        return replace(message, parent_header=parent_header)
