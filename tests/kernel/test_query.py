"""Questions to a kernel, over scripted channels."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from jrc.errors import KernelDiedError, UnreachableError
from jrc.kernel.channels import ChannelEvent, Channels, FrameDamaged, LinkLost, LinkRestored
from jrc.kernel.messages import Messages
from jrc.kernel.query import ASK_AT_MOST, Answer, Conversation, Timing
from jrc.wire.message import Message
from tests.support.scripted import busy, from_kernel, idle, info_reply, stream

HASTY = Timing(silence=0.01)
LOST = LinkLost("connection lost", half_open=False)


class ScriptedChannels:
    """Says what a script says to a request.

    Args:
        script: events, and what makes one of the request's id.
        unheard: so many requests come to nothing before it.
    """

    def __init__(self, *script: Any, unheard: int = 0) -> None:
        self.count = 0
        self._script = script
        self._unheard = unheard
        self._sent: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, message: Message) -> None:
        self.count += 1
        await self._sent.put(message)

    async def events(self) -> AsyncIterator[ChannelEvent]:
        for _ in range(self._unheard):
            await self._sent.get()
        request = await self._sent.get()
        if self._unheard:
            # Time for one request too many.
            await asyncio.sleep(10 * HASTY.silence)
        for each in self._script:
            yield each(request.msg_id) if callable(each) else each


def ask(*script: Any, bridges: bool = False, until_idle: bool = True) -> Answer:
    messages = Messages()

    async def talk() -> Answer:
        channels = cast(Channels, ScriptedChannels(*script))
        conversation = Conversation(channels, messages, bridges=bridges)
        return await conversation.ask(messages.kernel_info(), until_idle=until_idle)

    return asyncio.run(talk())


def ask_if_known(*script: Any) -> Message | None:
    messages = Messages()

    async def talk() -> Message | None:
        conversation = Conversation(cast(Channels, ScriptedChannels(*script)), messages)
        return await conversation.ask_if_known(messages.control("x_request", {}))

    return asyncio.run(talk())


def insist(*script: Any, unheard: int) -> tuple[Message | None, int]:
    """The answer to a request on control, and how many were sent for it."""
    messages = Messages()
    channels = ScriptedChannels(*script, unheard=unheard)

    async def talk() -> Message | None:
        conversation = Conversation(cast(Channels, channels), messages, timing=HASTY)
        return await conversation.ask_if_known(messages.control("x_request", {}))

    return asyncio.run(asyncio.wait_for(talk(), 10)), channels.count


def printed(msg_id: str) -> Message:
    return stream(msg_id, "text")


def test_the_answer_is_the_reply_and_all_that_is_published_before_the_idle() -> None:
    answer = ask(stream("another's", "no"), busy, info_reply, printed, idle)
    assert answer.reply.msg_type == "kernel_info_reply"
    assert [message.msg_type for _, message in answer.published] == ["status", "stream", "status"]


def test_without_the_idle_the_reply_is_enough() -> None:
    assert ask(busy, info_reply, until_idle=False).reply.msg_type == "kernel_info_reply"


@pytest.mark.parametrize("state", ["dead", "restarting"])
def test_a_kernel_that_dies_meanwhile_is_an_error(state: str) -> None:
    with pytest.raises(KernelDiedError):
        ask(busy, from_kernel("iopub", "status", {"execution_state": state}))


def test_a_link_that_breaks_is_an_error_or_bridged() -> None:
    script = (busy, LOST, LinkRestored(1.0), info_reply, idle)
    with pytest.raises(UnreachableError, match="connection lost"):
        ask(*script)
    assert ask(*script, bridges=True).reply.msg_type == "kernel_info_reply"


def test_a_damaged_frame_may_have_been_the_answer_and_is_asked_for_again() -> None:
    answer = ask_if_known(
        FrameDamaged("torn"),
        lambda msg_id: from_kernel("control", "x_reply", {}, parent=f"{msg_id[:-1]}2"),
    )
    assert answer is not None


def test_a_kernel_that_does_not_know_a_request_only_publishes_its_status() -> None:
    assert ask_if_known(busy, idle) is None
    answer = ask_if_known(lambda msg_id: from_kernel("control", "x_reply", {}, parent=msg_id))
    assert answer is not None
    assert answer.msg_type == "x_reply"


def test_a_request_that_comes_to_nothing_is_asked_again() -> None:
    """A recorder that is installed at that moment hides the status of a request it never got."""
    for answers in (lambda msg_id: from_kernel("control", "x_reply", {}, parent=msg_id), busy):
        answer, count = insist(answers, unheard=ASK_AT_MOST - 1)
        assert (answer is None) == (answers is busy)
        assert count == ASK_AT_MOST


def test_the_first_request_may_be_answered_though_another_one_followed() -> None:
    def answer_to_first(msg_id: str) -> Message:
        return from_kernel("control", "x_reply", {}, parent=f"{msg_id[:-1]}1")

    answer, _ = insist(answer_to_first, unheard=1)
    assert answer is not None
