"""The whole machine between scripted clients, a link that loses and a kernel that dies.

Whatever comes when: each request of a client gets one reply and one idle, and no code runs twice.
"""

import itertools
from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrc.kernel.messages import Messages
from jrc.recorder.in_kernel.records import IOPUB, SHELL, encode_record
from jrc.relay.actions import Action, AskServer, Deliver, End, Send, StartOver
from jrc.relay.machine import Machine
from jrc.wire.message import Message, encode_object, new_message
from jrc.wire.zmq import Addressed
from tests.support.scripted import busy, from_kernel, idle, reply, stream

DATE = "2026-11-22T12:00:00Z"
PATIENCE = 400.0
"""Seconds after which nothing can be due any more: the recorder's longest pauses fit in."""


class ScriptedKernel:
    """A kernel with the recorder, or another one. It works when it is told to.

    Attributes:
        executed: how often each execution ran, in this kernel and those before it.
    """

    def __init__(self, executed: Counter[str], *, python: bool) -> None:
        self.executed = executed
        self._python = python
        self._run = ""
        self._records: list[bytes] = []
        self._begun: list[str] = []
        self.waiting: dict[str, deque[Message]] = {"shell": deque(), "control": deque()}

    @property
    def idle(self) -> bool:
        return not self.waiting["shell"]

    def work(self, channel: str) -> list[Message]:
        """Answer the oldest request of a channel; what it publishes and replies."""
        if not self.waiting[channel]:
            return []
        request = self.waiting[channel].popleft()
        msg_id, msg_type = request.msg_id, request.msg_type
        if msg_type == "jrc_replay_request":
            return [self._replay(request)]
        if msg_type == "jrc_state_request":
            return [self._states(request)]
        if msg_type != "execute_request":
            kind = msg_type.replace("request", "reply")
            answer = from_kernel(channel, kind, {"status": "ok"}, parent=msg_id)
            return [busy(msg_id), answer, idle(msg_id)]
        if request.buffers:
            return [busy(msg_id), self._install(request), idle(msg_id)]
        self.executed[msg_id] += 1
        self._begun.append(msg_id)
        answers = [busy(msg_id), stream(msg_id, msg_id), reply(msg_id), idle(msg_id)]
        recorded = request.metadata_fields.get("jrc", {}).get("run") == self._run != ""
        return [self._record(each) for each in answers] if recorded else answers

    def _install(self, request: Message) -> Message:
        if not self._python:
            return reply(request.msg_id)
        self._run = request.content_fields["jrc"]["options"]["run"]
        fields = {**self._state(), "installed": True, "version": 1, "protocol": 1, "folder": "/"}
        return _with_metadata(reply(request.msg_id), {**fields, "disabled": ""})

    def _record(self, message: Message) -> Message:
        number = len(self._records) + 1
        parts = [message.header, message.parent_header, b"{}", message.content]
        channel = IOPUB if message.channel == "iopub" else SHELL
        self._records.append(bytes(encode_record(number, channel, parts, checked=False)))
        return _with_metadata(message, {"run": self._run, "n": number})

    def _state(self) -> dict[str, Any]:
        return {
            "run": self._run,
            "instance": "1f",
            "opened": 0,
            "count": len(self._records),
            "gone": 0,
            "running": 0,
            "done": len(self._begun),
            "last": None,
            "stopped": "",
            "asking": 0,
            "journal": None,
            "journal_error": "",
        }

    def _replay(self, request: Message) -> Message:
        count = len(self._records)
        wanted = [
            number
            for start, stop in request.content_fields["ranges"]
            for number in range(start, count + 1 if stop is None else stop)
        ]
        content = {
            **self._state(),
            "status": "ok",
            "disabled": "",
            "first": [wanted[0] if wanted else 1, 0],
            "missing": [],
            "next": None,
        }
        data = b"".join(self._records[number - 1] for number in wanted)
        return from_kernel(
            "control", "jrc_replay_reply", content, parent=request.msg_id, buffers=(data,)
        )

    def _states(self, request: Message) -> Message:
        requests = [
            {"id": msg_id, "state": "done", "status": "ok", "fields": {}} for msg_id in self._begun
        ]
        content = {
            "status": "ok",
            "version": 1,
            "disabled": "",
            "runs": [self._state()],
            "requests": requests,
        }
        return from_kernel("control", "jrc_state_reply", content, parent=request.msg_id)


class World:
    """A machine, and around it everything that can go wrong."""

    def __init__(self, *, python: bool) -> None:
        self.asked: dict[str, str] = {}
        self.replies: dict[str, list[str]] = {}
        self.idles: Counter[str] = Counter()
        self.outputs: Counter[str] = Counter()
        self._python = python
        self.executed: Counter[str] = Counter()
        self._kernel = ScriptedKernel(self.executed, python=python)
        self._machine = Machine(
            Messages(session=32 * "a", username="jrc", date=lambda: DATE), restarts_in_place=True
        )
        self._ids = itertools.count(1)
        self._now = 0.0
        self._up = True
        self._urgent: deque[Message] = deque()
        self._shell: deque[Message] = deque()
        self._uplink: deque[Message] = deque()
        self._downlink: dict[str, deque[Message]] = {c: deque() for c in ("iopub", "other")}
        self._death: Message | None = None
        self._do(self._machine.kernel_started("python" if python else "", 0))

    def step(self, kind: str, number: int) -> None:
        """One thing happens."""
        match kind:
            case "ask":
                self._ask(("execute_request", "execute_request", "complete_request")[number % 3])
            case "send":
                self._send()
            case "arrive":
                self._arrive()
            case "work":
                self._publish(self._kernel.work("control" if number == 0 else "shell"))
            case "receive":
                self._receive("iopub" if number % 2 else "other")
            case "drop":
                self._drop()
            case "cut":
                self._cut(number)
            case "restore":
                self._restore()
            case "tick":
                self._tick(0.25 * 4**number)
            case "die":
                self._die()

    def settle(self) -> None:
        """Nothing is lost any more, and everything that is under way arrives."""
        self._restore()
        end = self._now + PATIENCE
        while self._now < end:
            for _ in range(200):
                self._send()
                self._arrive()
                self._publish(self._kernel.work("shell"))
                self._publish(self._kernel.work("control"))
                self._receive("iopub")
                self._receive("other")
                if not (
                    self._urgent or self._shell or self._uplink or any(self._downlink.values())
                ):
                    break
            self._tick(2.5)

    def _ask(self, msg_type: str) -> None:
        message = new_message(
            "shell",
            msg_type,
            {"code": "1"},
            msg_id=f"ann_{next(self._ids)}",
            session="ann",
            username="ada",
            date=DATE,
        )
        self.asked[message.msg_id] = msg_type
        self._do(self._machine.from_client(Addressed((b"ann",), message)))

    def _send(self) -> None:
        queue = self._urgent or self._shell
        if self._up and queue:
            self._uplink.append(self._machine.sending(queue.popleft(), self._now))
            self._machine.sent(self._now)

    def _arrive(self) -> None:
        if self._uplink:
            message = self._uplink.popleft()
            # What is sent before the death of a kernel was heard of was meant for that one.
            if self._death not in self._downlink["iopub"]:
                self._kernel.waiting[message.channel].append(message)

    def _publish(self, messages: list[Message]) -> None:
        for message in messages:
            self._downlink["iopub" if message.channel == "iopub" else "other"].append(message)

    def _receive(self, queue: str) -> None:
        if self._up and self._downlink[queue]:
            message = self._downlink[queue].popleft()
            if message is self._death:
                self._uplink.clear()
            self._do(self._machine.from_kernel(message, self._now))

    def _drop(self) -> None:
        """What a kernel publishes is lost where its server reads too slowly."""
        queue = self._downlink["iopub"]
        if queue and queue[0].parent_id:
            queue.popleft()

    def _cut(self, lost: int) -> None:
        """The last messages that were sent are lost, and the next that would have been received."""
        if not self._up:
            return
        self._up = False
        for _ in range(min(lost, len(self._uplink))):
            self._uplink.pop()
        while self._uplink:
            self._arrive()
        for queue in self._downlink.values():
            for _ in range(min(lost, len(queue))):
                queue.popleft()
        self._do(self._machine.link_lost(None, self._now))

    def _restore(self) -> None:
        if not self._up:
            self._up = True
            self._do(self._machine.link_restored(self._now))

    def _tick(self, seconds: float) -> None:
        self._now += seconds
        self._do(self._machine.tick(self._now))

    def _die(self) -> None:
        """The server starts the kernel again, and says so; the kernel has said its last word."""
        self._kernel = ScriptedKernel(self.executed, python=self._python)
        self._uplink.clear()
        self._downlink["other"].clear()
        self._death, birth = (
            from_kernel("iopub", "status", {"execution_state": state})
            for state in ("restarting", "starting")
        )
        self._publish([self._death, birth])

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message=message, first=True):
                    self._urgent.appendleft(message)
                case Send(message=message):
                    (self._shell if message.channel == "shell" else self._urgent).append(message)
                case Deliver():
                    self._deliver(action.message)
                case AskServer():
                    self._do(
                        self._machine.server_answered(
                            "idle" if self._kernel.idle else "busy",
                            all_arrived=self._up and not self._uplink,
                            received=0,
                        )
                    )
                case StartOver():
                    self._cut(0)
                    self._restore()
                case End():
                    raise AssertionError(action.reason)

    def _deliver(self, message: Message) -> None:
        parent = message.parent_id
        if message.msg_type.endswith("_reply"):
            status = message.content_fields["status"]
            self.replies.setdefault(parent, []).append(status)
        elif message.msg_type == "stream" and message.content_fields["name"] == "stdout":
            self.outputs[parent] += 1
        elif message.content_fields.get("execution_state") == "idle" and parent:
            self.idles[parent] += 1


def _with_metadata(message: Message, fields: dict[str, Any]) -> Message:
    return Message(
        message.channel,
        message.header,
        message.parent_header,
        encode_object({"jrc": fields}),
        message.content,
    )


USUAL = ["ask", "send", "arrive", "work", "receive", "tick"]


def steps(*unusual: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    """What happens one after the other; the usual things more often."""
    kinds = st.sampled_from([*USUAL, *USUAL, *unusual])
    return st.lists(st.tuples(kinds, st.integers(0, 3)), max_size=80)


def happen(world: World, steps: list[tuple[str, int]]) -> None:
    for kind, number in steps:
        world.step(kind, number)
    world.settle()


@pytest.mark.parametrize("python", [True, False], ids=["recorder", "none"])
@given(steps=steps("cut", "restore", "drop", "die"))
@settings(max_examples=200, deadline=None)
def test_each_request_gets_one_reply_and_one_idle_and_runs_at_most_once(
    python: bool, steps: list[tuple[str, int]]
) -> None:
    world = World(python=python)
    happen(world, steps)
    assert {msg_id: len(replies) for msg_id, replies in world.replies.items()} == dict.fromkeys(
        world.asked, 1
    )
    assert {msg_id: world.idles[msg_id] for msg_id in world.asked} == dict.fromkeys(world.asked, 1)
    assert all(count == 1 for count in world.executed.values())


@given(steps=steps("cut", "restore", "drop"))
@settings(max_examples=200, deadline=None)
def test_the_recorder_brings_everything_once(steps: list[tuple[str, int]]) -> None:
    """As long as the kernel lives."""
    world = World(python=True)
    happen(world, steps)
    assert world.replies == {msg_id: ["ok"] for msg_id in world.asked}
    assert all(world.idles[msg_id] == 1 for msg_id in world.asked)
    executions = [id for id, kind in world.asked.items() if kind == "execute_request"]
    assert world.executed == Counter(executions)
    assert world.outputs == Counter(executions)
