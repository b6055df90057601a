"""Which message was too large for a server that closes its websocket."""

import pytest

from jrc.kernel.large_messages import TOO_LARGE, LargeMessages, Oversized
from jrc.wire.message import Message
from tests.support.scripted import from_kernel

MIB = 2**20


def message(size: int) -> Message:
    return from_kernel("shell", "comm_msg", {}, buffers=(bytes(size),))


@pytest.mark.parametrize(
    ("size", "code", "after", "found"),
    [
        (11 * MIB, TOO_LARGE, 0, True),
        (2 * MIB, TOO_LARGE, 0, True),
        (11 * MIB, None, 1, True),
        (11 * MIB, None, 60, False),
        (2 * MIB, None, 0, False),
        (100, TOO_LARGE, 0, False),
    ],
)
def test_the_message_for_which_the_link_was_closed(
    size: int, code: int | None, after: float, found: bool
) -> None:
    large, sent = LargeMessages(), message(size)
    large.sending(sent)
    large.sent(100)
    oversized = large.link_lost(code, 100 + after)
    assert (oversized is not None) is found
    assert large.link_lost(TOO_LARGE, 100 + after) is None
    if found:
        assert oversized == Oversized(sent.msg_id, size + 4)


def test_a_message_that_is_still_being_sent_may_be_too_large() -> None:
    large = LargeMessages()
    large.sending(message(11 * MIB))
    assert large.link_lost(None, 10_000) is not None
