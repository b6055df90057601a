"""The messages between client and recorder on the control channel.

    request                reply carries
    jrc_replay_request     acknowledges messages, and sends again those with the numbers asked for
    jrc_state_request      all runs, or one run with its requests
    jrc_journal_request    a journal of the run is written from now on
    jrc_cancel_request     later requests of the run are answered ``aborted``
    jrc_forget_request     nothing of the run is kept any more
    jrc_remove_request     the kernel is as it was before the installation

And in metadata: of a request ``{"jrc": {"run": id, ...}}``, with ``"code"`` in it when only the
recorder may execute it (``"packed"`` where the code is long, and in a buffer); of every message
of a run ``{"jrc": {"run": id, "n": number}}``.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jrc.errors import WireError
from jrc.recorder.in_kernel.frames import METADATA_KEY
from jrc.shapes import Reader, count_at, text_at
from jrc.wire.message import Message, Part

REPLAY_REQUEST = "jrc_replay_request"
STATE_REQUEST = "jrc_state_request"
JOURNAL_REQUEST = "jrc_journal_request"
CANCEL_REQUEST = "jrc_cancel_request"
FORGET_REQUEST = "jrc_forget_request"
REMOVE_REQUEST = "jrc_remove_request"

JOURNAL_FOLDER = "jrc-runs"
"""In the folder that the kernel was started in: the server serves it, so a client that attaches can
read it."""

_PACK_FROM = 1 << 18
"""Characters of code from which on it is compressed: servers refuse messages over 10 MiB."""

Range = tuple[int, int | None]
"""Numbers from the first up to, but without, the second; None for all that there are."""


def request_metadata(run: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The metadata of a request that is recorded.

    Args:
        run: id of an open run; a recorder does not touch the requests of another.
        fields: what the recorder reports about the request when it is asked for the state.
    """
    return {METADATA_KEY: {**(fields or {}), "run": run}}


def guarded_metadata(
    run: str, code: str, fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The metadata of an ``execute_request`` that only a recorder with this open run executes.

    The request's content has an empty ``code``: a kernel without the recorder, for example after
    a restart, executes nothing and says ``ok`` without a number. In a run that failed or was
    cancelled it is answered ``aborted``. So a pipeline of such requests can be sent behind the
    installation without waiting for it.
    """
    return {METADATA_KEY: {**(fields or {}), "run": run, "code": code}}


def guarded_parts(
    run: str, code: str, fields: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The metadata of such a request, and its buffers: long code goes there, compressed."""
    if len(code) < _PACK_FROM:
        return guarded_metadata(run, code, fields), ()
    # UTF-8 has no way to say a lone surrogate, and JSON has one.
    packed = zlib.compress(json.dumps(code).encode())
    return {METADATA_KEY: {**(fields or {}), "run": run, "packed": True}}, (packed,)


class Stamp(NamedTuple):
    """What the recorder wrote into a message's metadata.

    Attributes:
        run: id of the run.
        number: from 1; 0 when the message is not recorded.
        disabled: why the recorder gave up; empty otherwise.
        cancelled: the run had been cancelled; only replies say so.
    """

    run: str
    number: int
    disabled: str
    cancelled: bool = False


def read_stamp(message: Message) -> Stamp | None:
    """The stamp of a message; None without one."""
    if b'"%s"' % METADATA_KEY.encode() not in bytes(message.metadata):
        return None
    fields = message.metadata_fields.get(METADATA_KEY)
    if not isinstance(fields, dict) or not isinstance(fields.get("run"), str):
        return None
    number = count_at(fields, "n") if "n" in fields else 0
    if number is None or number < 0:
        return None  # no recorder of ours wrote that
    cancelled = fields.get("stopped") == "cancelled"
    return Stamp(fields["run"], number, text_at(fields, "disabled"), cancelled)


def replay_content(
    run: str,
    ranges: Sequence[Range],
    *,
    max_bytes: int,
    offset: int = 0,
    acknowledge: int = 0,
) -> dict[str, Any]:
    """The content of a ``jrc_replay_request``.

    Args:
        run: id of the run.
        ranges: the numbers that are wanted, in order; none to acknowledge or to ask only.
        max_bytes: of the answer. A message that is larger comes in slices.
        offset: byte of the first message's record to go on from.
        acknowledge: the messages up to this number are no longer needed.
    """
    return {
        "run": run,
        "ranges": [list(each) for each in ranges],
        "offset": offset,
        "max_bytes": max_bytes,
        "acknowledge": acknowledge,
    }


@dataclass(frozen=True)
class RunState:
    """What the recorder says of a run.

    Attributes:
        run: its id.
        instance: of the recorder.
        opened: POSIX time in seconds, of the remote clock.
        count: messages so far.
        gone: messages up to this number are no longer kept.
        running, done: how many requests are executed now, and were.
        last: the fields of the request that arrived last; None without one.
        stopped: ``failed``, ``exited``, ``aborted`` or ``cancelled``: no later request is executed.
        asking: number of the ``input_request`` that waits for its answer; 0 for none.
        journal: absolute path of the journal; None without one.
        journal_error: why the journal is not complete; empty otherwise.
        ending: somebody asked the kernel to shut down before the run was over.
        journaled: the messages up to this number are in the journal.
    """

    run: str
    instance: str
    opened: float
    count: int
    gone: int
    running: int
    done: int
    last: Mapping[str, Any] | None
    stopped: str
    asking: int
    journal: str | None
    journal_error: str
    ending: bool = False
    journaled: int = 0


class RequestState(NamedTuple):
    """A request that reached the kernel. One that was sent and is not here did not yet begin.

    Attributes:
        id: its ``msg_id``.
        state: ``arrived``, ``running`` or ``done``.
        status: of its reply; empty before.
        fields: as in ``request_metadata``.
    """

    id: str
    state: str
    status: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """The answer to a ``jrc_replay_request``.

    Attributes:
        state: of the run, at that moment.
        disabled: why the recorder gave up; empty otherwise.
        first: number of the record that ``data`` begins in, and the byte in it.
        missing: ranges [start, stop) that were asked for and are no longer kept.
        next: number and byte to go on from; None when all that was asked for is here.
        data: bytes of consecutive records.
    """

    state: RunState
    disabled: str
    first: tuple[int, int]
    missing: tuple[tuple[int, int], ...]
    next: tuple[int, int] | None
    data: Part = field(repr=False)

    @property
    def brings_something(self) -> bool:
        """It has messages, or says which are no longer kept."""
        return bool(self.data or self.missing or self.next is not None)


class States(NamedTuple):
    """The answer to a ``jrc_state_request``.

    Attributes:
        version: of the recorder.
        disabled: why the recorder gave up; empty otherwise.
        runs: all, or the one that was asked for.
        requests: of that one.
    """

    version: int
    disabled: str
    runs: tuple[RunState, ...]
    requests: tuple[RequestState, ...]


class Journaled(NamedTuple):
    """The answer to a ``jrc_journal_request``.

    Attributes:
        state: of the run: where its journal is, or why there is none.
    """

    state: RunState


@dataclass(frozen=True)
class Done:
    """The answer to any other request: it was done."""


class Refused(NamedTuple):
    """The recorder could not do what it was asked for.

    Attributes:
        kind: the exception's class: ``LookupError`` when it has no such run.
        reason: its text.
    """

    kind: str
    reason: str


Answer = Replay | States | Journaled | Done | Refused


def parse_answer(message: Message) -> Answer:
    """The recorder's reply.

    Args:
        message: a ``jrc_*_reply``, or what a ``Refused`` came in.

    Raises:
        WireError: it breaks the protocol.
    """
    content, msg_type = message.content_fields, message.msg_type
    if content.get("status") != "ok":
        return Refused(text_at(content, "ename"), text_at(content, "evalue"))

    def reject(place: str, found: str, wanted: str) -> WireError:
        return WireError(f"A {msg_type} has {found} at {place} where {wanted} belongs.")

    read = Reader(content, reject)
    if msg_type == "jrc_replay_reply":
        return _replay(read, message.buffers)
    if msg_type == "jrc_state_reply":
        return _states(read)
    if msg_type == "jrc_journal_reply":
        return Journaled(_run_state(read))
    return Done()


def _replay(read: Reader, buffers: Sequence[Part]) -> Replay:
    if len(buffers) > 1:
        raise WireError("A jrc_replay_reply has more than one buffer.")
    first, following = read.field("first"), read.field("next")
    return Replay(
        state=_run_state(read),
        disabled=read.field("disabled").text(),
        first=(0, 0) if first.is_null else _pair(first),
        missing=tuple(_pair(each) for each in read.field("missing").items()),
        next=None if following.is_null else _pair(following),
        data=buffers[0] if buffers else b"",
    )


def _states(read: Reader) -> States:
    requests = read.field("requests")
    return States(
        version=_count(read, "version"),
        disabled=read.field("disabled").text(),
        runs=tuple(map(_run_state, read.field("runs").items())),
        requests=() if requests.is_null else tuple(map(_request_state, requests.items())),
    )


def _request_state(read: Reader) -> RequestState:
    return RequestState(
        id=read.field("id").text(),
        state=read.field("state").text(),
        status=read.field("status").text(),
        fields=read.field("fields").mapping(),
    )


def _run_state(read: Reader) -> RunState:
    last, journal = read.field("last"), read.field("journal")
    return RunState(
        run=read.field("run").text(),
        instance=read.field("instance").text(),
        opened=read.field("opened").real(),
        count=_count(read, "count"),
        gone=_count(read, "gone"),
        running=_count(read, "running"),
        done=_count(read, "done"),
        last=None if last.is_null else last.mapping(),
        stopped=read.field("stopped").text(),
        asking=_count(read, "asking"),
        journal=None if journal.is_null else journal.text(),
        journal_error=read.field("journal_error").text(),
        ending=read.field("ending").flag(default=False),
        journaled=read.field("journaled").number(default=0, at_least=0),
    )


def _count(read: Reader, key: str) -> int:
    return read.field(key).number(at_least=0)


def _pair(read: Reader) -> tuple[int, int]:
    numbers = [each.number(at_least=0) for each in read.items()]
    if len(numbers) != 2:
        raise read.fault("a pair of numbers")
    return numbers[0], numbers[1]
