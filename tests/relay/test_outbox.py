"""In which order things go to the kernel, and which of them was too large."""

import asyncio

import pytest

from jrc.kernel.large_messages import TOO_LARGE, LargeMessages, Oversized
from jrc.relay.relay import Outbox
from jrc.wire.message import Message
from tests.support.scripted import from_kernel

MIB = 2**20


def message(channel: str, size: int = 0) -> Message:
    return from_kernel(channel, "comm_msg", {}, buffers=(bytes(size),) if size else ())


@pytest.mark.anyio
async def test_control_and_stdin_do_not_wait_behind_shell() -> None:
    outbox = Outbox()
    shell, control, stdin, fence = (message(c) for c in ("shell", "control", "stdin", "shell"))
    for one in (shell, control, stdin):
        outbox.put(one)
    outbox.put_first(fence)
    outbox.open()
    assert [await outbox.next() for _ in range(4)] == [fence, control, stdin, shell]


@pytest.mark.anyio
async def test_what_waits_is_given_out_when_the_link_is_up() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.next())
    first, second = message("shell"), message("shell")
    outbox.put(first)
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.open()
    assert await taking is first
    outbox.close()
    outbox.put(second)
    taking = asyncio.create_task(outbox.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not taking.done()
    outbox.open()
    assert await taking is second


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
    large, sent = LargeMessages(), message("shell", size)
    large.sending(sent)
    large.sent(100)
    oversized = large.link_lost(code, 100 + after)
    assert (oversized is not None) is found
    assert large.link_lost(TOO_LARGE, 100 + after) is None
    if found:
        assert oversized == Oversized(sent.msg_id, size + 4)


def test_a_message_that_is_still_being_sent_may_be_too_large() -> None:
    large = LargeMessages()
    large.sending(message("shell", 11 * MIB))
    assert large.link_lost(None, 10_000) is not None
