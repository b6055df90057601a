"""Questions to the recorder in a kernel, each over its own websocket."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from jrc.errors import JrcError, KernelDiedError, NotFoundError, UnreachableError
from jrc.kernel.query import conversation
from jrc.recorder.protocol import (
    CANCEL_REQUEST,
    FORGET_REQUEST,
    JOURNAL_FOLDER,
    JOURNAL_REQUEST,
    STATE_REQUEST,
    Answer,
    States,
    parse_answer,
)

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.runs.questions")

ANSWER_SECONDS = 10.0
"""A kernel that is inside one long call of C code answers nothing meanwhile."""

_JOURNAL_LOOKS = 10
_JOURNAL_SECONDS = 3.0
_JOURNAL_PAUSE = 0.25


@dataclass(frozen=True)
class KeptPast:
    """What a kernel has published of a run so far.

    Attributes:
        gone: the messages up to this number are no longer kept anywhere.
        count: how many messages have been published.
        over: no more messages will follow.
    """

    gone: int = 0
    count: int = 0
    over: bool = False


async def kept_past(
    server: "ServerClient", kernel_id: str, run: str, *, seconds: float = ANSWER_SECONDS
) -> KeptPast | None:
    """What the recorder in a kernel holds of a run; None if there is no such recorder or run.

    Raises:
        UnreachableError, AuthError: the server can't be asked.
    """
    try:
        states = await state_of_run(server, kernel_id, run, seconds=seconds)
    except NotFoundError:
        return None
    except UnreachableError:
        # The kernel may be inside one long call: what it holds is not known.
        return KeptPast() if await _exists(server, kernel_id) else None
    if states is None or not states.runs:
        return None
    state = states.runs[0]
    return KeptPast(state.gone, state.count, is_over(states))


def cells_of(states: States) -> int:
    """How many cells the run of a state has."""
    last = states.runs[0].last or {}
    cells = last.get("cells")
    return cells if isinstance(cells, int) else len(states.requests)


def is_over(states: States) -> bool:
    """Whether the run of a state begins no other cell, and none is executed."""
    state = states.runs[0]
    return not state.running and (bool(state.stopped) or state.done >= cells_of(states))


def executed(states: States) -> int:
    """How many cells of the run of a state were executed to their end. An aborted one was not."""
    return sum(each.state == "done" and each.status != "aborted" for each in states.requests)


async def _exists(server: "ServerClient", kernel_id: str) -> bool:
    try:
        return await server.kernel(kernel_id) is not None
    except UnreachableError as error:
        # A dead connection loses a question: ask again over a new one.
        log.info("asking again for the kernel: %s", error)
        return await server.kernel(kernel_id) is not None


async def state_of_run(
    server: "ServerClient", kernel_id: str, run: str, *, seconds: float = ANSWER_SECONDS
) -> States | None:
    """What a kernel's recorder says of a run; None when it has no such run.

    Raises:
        NotFoundError: there is no such kernel.
        UnreachableError: it does not answer.
    """
    answer = await _ask(server, kernel_id, STATE_REQUEST, {"run": run}, seconds)
    return answer if isinstance(answer, States) else None


class InJournal(NamedTuple):
    """Whether a journal has all that a kernel holds of a run.

    Attributes:
        path: of the journal on the server's machine.
        reason: what is wrong with it; empty when it is complete.
    """

    path: str = ""
    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


async def kept_in_journal(server: "ServerClient", kernel_id: str, run: str) -> InJournal:
    """Whether a run's kernel may end: its journal has all that it holds.

    A kernel that is gone holds nothing.

    Raises:
        UnreachableError, AuthError: the server or the kernel does not answer.
    """
    answer = InJournal()
    for _ in range(_JOURNAL_LOOKS):
        try:
            states = (
                await state_of_run(server, kernel_id, run, seconds=_JOURNAL_SECONDS)
                if kernel_id
                else None
            )
        except NotFoundError:
            return InJournal()
        except UnreachableError as error:
            # One that ends just now swallows the question.
            if await server.kernel(kernel_id) is None:
                return InJournal()
            answer = InJournal("", error.message.rstrip("."))
            continue
        if states is None or not states.runs:
            return InJournal()
        state = states.runs[0]
        if state.journal is None or state.journal_error:
            return InJournal(state.journal or "", state.journal_error or "there is none")
        if state.journaled >= state.count:
            return InJournal(state.journal)
        answer = InJournal(state.journal, "the kernel did not finish writing it")
        await asyncio.sleep(_JOURNAL_PAUSE)
    return answer


async def forget_run(server: "ServerClient", kernel_id: str, run: str) -> None:
    """Make a kernel drop what it keeps of a run, its journal too.

    Raises:
        UnreachableError: it does not answer.
    """
    content = {"run": run, "delete_journal": True}
    try:
        await _ask(server, kernel_id, FORGET_REQUEST, content, ANSWER_SECONDS)
    except NotFoundError:
        return


async def start_journal(
    server: "ServerClient", kernel_id: str, run: str, about: Mapping[str, Any]
) -> None:
    """Make a kernel write a journal of a run, with all that it still holds.

    Raises:
        NotFoundError: there is no such kernel.
        UnreachableError: it does not answer.
    """
    content = {"run": run, "journal": JOURNAL_FOLDER, "about": dict(about)}
    await _ask(server, kernel_id, JOURNAL_REQUEST, content, ANSWER_SECONDS)


async def journal_begun(
    server: "ServerClient", kernel_id: str, run: str, about: Mapping[str, Any]
) -> str | None:
    """As ``start_journal``: the path of the journal on the server's machine.

    Returns:
        None where there is none. The kernel keeps the run all the same, as long as it lives.
    """
    try:
        await start_journal(server, kernel_id, run, about)
        return (await kept_in_journal(server, kernel_id, run)).path or None
    except JrcError as error:
        log.info("no journal of the run %s: %s", run, error)
        return None


async def cancel_run(server: "ServerClient", kernel_id: str, run: str) -> None:
    """Make a kernel refuse the requests of a run that it has not begun.

    Raises:
        NotFoundError: there is no such kernel.
        UnreachableError: it does not answer.
    """
    await _ask(server, kernel_id, CANCEL_REQUEST, {"run": run}, ANSWER_SECONDS)


async def _ask(
    server: "ServerClient", kernel_id: str, msg_type: str, content: dict[str, Any], seconds: float
) -> Answer | None:
    """The recorder's answer; None when the kernel has no recorder."""
    try:
        async with conversation(server, kernel_id, seconds=seconds) as talk:
            reply = await talk.ask_if_known(talk.messages.control(msg_type, content))
    except (NotFoundError, KernelDiedError) as error:
        raise NotFoundError(f"The kernel {kernel_id} is gone.", hint="jrc runs") from error
    return None if reply is None else parse_answer(reply)
