"""Read the journal that the recorder wrote for a detached run. Pure.

The file only grows; when its kernel was killed in the middle of a write, or its node lost power,
the last record is torn. All before it is good. A record in the middle whose bytes a disk
or somebody changed costs that one message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jrc.errors import WireError
from jrc.recorder.in_kernel.records import (
    CHANNELS,
    IOPUB,
    JOURNAL_SUFFIX,
    STATE_SUFFIX,
    BadRecordError,
    Record,
    decode_record,
    record_end,
    record_number,
)
from jrc.recorder.tracker import to_message
from jrc.shapes import real_at
from jrc.wire.message import Message, Part, decode_object, is_readable

__all__ = ["JOURNAL_SUFFIX", "STATE_SUFFIX", "Journal", "JournalRequest", "read_journal"]


@dataclass
class JournalRequest:
    """A request that reached the kernel.

    Attributes:
        id: its ``msg_id``.
        fields: from its metadata.
        status: of its reply; empty while there is none.
        done: its idle was published.
    """

    id: str
    fields: Mapping[str, Any]
    status: str = ""
    done: bool = False


@dataclass
class Journal:
    """What a journal says.

    Attributes:
        run: id of the run.
        instance: of the recorder that wrote it.
        about: the description that the client gave when it opened the run.
        opened: POSIX time in seconds, of the remote clock; None when the file ends before it.
        messages: the run's messages with their numbers, in order.
        requests: in the order in which they reached the kernel.
        cancelled: somebody cancelled the run.
        ended: somebody asked the kernel to shut down before the run was over.
        torn: the file ends in the middle of a record.
        size: bytes up to the end of the last whole record.
    """

    run: str
    instance: str
    about: Mapping[str, Any]
    opened: float | None = None
    messages: list[tuple[int, Message | None]] = field(default_factory=list)
    requests: dict[str, JournalRequest] = field(default_factory=dict)
    cancelled: bool = False
    ended: bool = False
    torn: bool = False
    size: int = 0


def read_journal(data: Part) -> Journal:
    """The journal in ``data``. The messages are views into it.

    Args:
        data: the whole file, or a mapping of it into memory.

    Raises:
        WireError: this is no journal.
    """
    view = memoryview(data)
    try:
        record = decode_record(view, 0)
    except BadRecordError as error:
        raise WireError(f"This is not a journal of a run: {error}.") from error
    if record is None or record.channel:
        raise WireError("This is not a journal of a run: its first note is missing.")
    first = _note(record)
    journal = Journal(
        run=str(first.get("run", "")),
        instance=str(first.get("instance", "")),
        about=_object(first.get("about")),
        size=record.end,
    )
    while journal.size < len(view):
        try:
            record = decode_record(view, journal.size)
        except BadRecordError:
            record = _damaged(journal, view)
        if record is None:
            journal.torn = True
            break
        _take(journal, record)
        journal.size = record.end
    return journal


def _damaged(journal: Journal, view: memoryview) -> Record | None:
    """A record that can't be read and is not the last one, without its parts."""
    try:
        end = record_end(view, journal.size)
        if end is None or record_end(view, end) is None:
            return None
    except BadRecordError:
        return None
    number, next_number = record_number(view, journal.size), record_number(view, end)
    # Its number may be damaged, too: its neighbours must agree. Notes have the number 0.
    before = journal.messages[-1][0] if journal.messages else next_number - 2
    if number < 1 or number != before + 1 or next_number not in (number + 1, 0):
        return None
    return Record(number, CHANNELS[IOPUB], [], end)


def _take(journal: Journal, record: Record) -> None:
    if record.channel:
        message = to_message(record)
        if message is not None and not is_readable(message, content=False):
            message = None
        journal.messages.append((record.number, message))
        if message is None:
            return
        request = journal.requests.get(message.parent_id)
        if request is None:
            return
        if message.msg_type not in ("execute_reply", "status") or not is_readable(message):
            return
        if message.msg_type == "status":
            request.done = message.content_fields.get("execution_state") == "idle"
        else:
            request.status = str(message.content_fields.get("status", ""))
        return
    note = _note(record)
    if "request" in note:
        msg_id = str(note["request"])
        journal.requests[msg_id] = JournalRequest(msg_id, _object(note.get("fields")))
    elif "opened" in note:
        journal.opened = real_at(note, "opened")
    elif "cancelled" in note:
        journal.cancelled = True
    elif "ending" in note:
        journal.ended = True


def _note(record: Record) -> dict[str, Any]:
    if not record.parts:
        raise WireError("A note in a journal is empty.")
    return decode_object(record.parts[0], "note in a journal")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
