"""What a client sends again when a link or an answer broke: decided without a kernel."""

from dataclasses import replace
from typing import Any

from jrc.kernel.messages import Messages
from jrc.recorder.in_kernel.frames import METADATA_KEY
from jrc.run.cell_requests import CellRequest
from jrc.run.protocol import Exchange
from jrc.run.recorded_run import RecordedRun
from jrc.wire.message import Message, encode_object, new_message
from tests.support.scripted import busy, idle, reply, stream


def cell(key: int) -> CellRequest:
    code = f"print({key})"
    return CellRequest(index=key, number=key + 1, source=code, code=code)


def begun(*, cells: int = 2) -> tuple[Exchange, list[Message], list[Message]]:
    """An exchange that sent its opening and its cells; returns these, too."""
    exchange = Exchange(Messages(), recorded_as="run")
    opening = exchange.run.begin("", None)
    sent = [
        exchange.run.execute(key, cell(key), allow_stdin=False, now=0.0) for key in range(cells)
    ]
    return exchange, opening, sent


def answer(request: Message, status: str, **metadata: Any) -> Message:
    return new_message(
        "shell",
        "execute_reply",
        {"status": status},
        msg_id="answer",
        session="kernel",
        username="kernel",
        date="2026-01-01T00:00:00Z",
        parent_header=request.header_fields,
        metadata=metadata,
    )


def types(messages: list[Message]) -> list[str]:
    return [message.msg_type for message in messages]


def test_what_a_broken_link_may_have_swallowed_goes_out_again() -> None:
    """The cells byte for byte, which a kernel refuses twice; the installation as a new request."""
    exchange, opening, cells = begun()
    exchange.run.link_lost()
    again = exchange.run.link_restored(1.0)
    assert types(again) == ["kernel_info_request", "execute_request", *types(cells)]
    assert again[2:] == cells
    assert {message.msg_id for message in again[:2]}.isdisjoint(m.msg_id for m in opening)


def test_what_the_kernel_began_is_not_sent_again() -> None:
    exchange, _, cells = begun()
    stamp = {METADATA_KEY: {"run": "run", "n": 1}}
    began = replace(busy(cells[0].msg_id), metadata=encode_object(stamp))
    list(exchange.receive(began, 0.5))
    exchange.run.link_lost()
    again = exchange.run.link_restored(1.0)
    assert cells[0] not in again
    assert cells[1] in again
    # The stamp proved that the recorder is there: the language is all that is unknown.
    assert types(again)[0] == "kernel_info_request"
    assert again[0].channel == "control"


def test_an_installation_that_was_aborted_is_asked_for_again() -> None:
    """An error of other code makes a kernel drop what is queued behind it."""
    exchange, opening, _ = begun()
    assert list(exchange.receive(answer(opening[1], "aborted"), 0.5)) == []
    again = exchange.run.due(0.6)
    assert types(again) == ["kernel_info_request", "execute_request"]
    assert exchange.run.due(0.7) == []
    assert isinstance(exchange.run, RecordedRun)


def test_a_message_is_handled_when_its_last_event_is_given_out() -> None:
    """What is saved while that event is dealt with holds the whole message."""
    exchange, _, cells = begun()
    cell = cells[0].msg_id
    seen = []
    for number, said in enumerate([busy(cell), stream(cell, "a"), reply(cell), idle(cell)], 1):
        metadata = {METADATA_KEY: {"run": "run", "n": number}}
        said = replace(said, metadata=encode_object(metadata))
        events = []
        for event in exchange.receive(said, 0.5):
            events.append((type(event).__name__, exchange.handled))
        assert exchange.handled == number
        assert [handled for _, handled in events[:-1]] == [number - 1] * len(events[:-1])
        assert events == [] or events[-1][1] == number
        seen += [name for name, _ in events]
    assert seen == ["Started", "Published", "Replied", "Finished"]
