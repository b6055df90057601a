"""The messages that the relay itself sends, to clients in the kernel's name and to the kernel."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from jrc.wire.message import Message, Part, encode_object, message_id, new_message


class Messages:
    """Makes messages with ids that nobody else uses.

    Attributes:
        session: hex id of the relay; also the ``session_id`` of its websocket.
    """

    def __init__(self) -> None:
        self.session = secrets.token_hex(16)
        self._count = 0

    def to_client(
        self,
        channel: str,
        msg_type: str,
        content: Mapping[str, object],
        *,
        parent_header: Part = b"{}",
    ) -> Message:
        """A message in the kernel's name.

        Args:
            channel: where the client gets it.
            msg_type: for example ``status``.
            content: the message's own fields.
            parent_header: header of the request that it belongs to, as the client sent it.
        """
        return replace(self._new(channel, msg_type, content), parent_header=parent_header)

    def shell_request(
        self, msg_type: str, content: Mapping[str, object], *, subshell: str | None = None
    ) -> Message:
        """A request of the relay's own to the kernel.

        Args:
            msg_type: for example ``kernel_info_request``.
            content: the message's own fields.
            subshell: id of the kernel's subshell that must answer; None for its main shell.
        """
        message = self._new("shell", msg_type, content)
        if subshell is None:
            return message
        header = {**message.header_fields, "subshell_id": subshell}
        return replace(message, header=encode_object(header))

    def control_request(self, msg_type: str, content: Mapping[str, object]) -> Message:
        """A request of the relay's own on the control channel."""
        return self._new("control", msg_type, content)

    def is_own(self, msg_id: str) -> bool:
        """Whether a message of the relay has this id."""
        return msg_id.startswith(self.session)

    def _new(self, channel: str, msg_type: str, content: Mapping[str, object]) -> Message:
        self._count += 1
        return new_message(
            channel,
            msg_type,
            dict(content),
            msg_id=message_id(self.session, self._count),
            session=self.session,
            username="jrc",
            date=datetime.now(UTC).isoformat(),
        )
