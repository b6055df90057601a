"""What a person reads while a tunnel comes up."""

from dataclasses import replace

import pytest

from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.profile.route import Route
from jrc.tunnel.cause import Kind, explain
from jrc.tunnel.machine import Phase
from jrc.tunnel.status import KeeperStatus, Spec

SPEC = Spec("lab", Route("stub", "default", "svc/jupyter", 80), 1)
BEGIN = KeeperStatus(SPEC, pid=1, started="", phase=Phase.RESOLVING, since=0)
PENDING = explain(Kind.NO_POD, "here", subject="Pod a is pending")


def tries(count: int) -> list[KeeperStatus]:
    """A pod that is looked for again and again, and found at last."""
    again = replace(BEGIN, cause=PENDING)
    waits = replace(again, phase=Phase.WAITING)
    found = replace(again, pod="a", phase=Phase.FORWARDING)
    states = [BEGIN, *[waits, again] * count, found]
    return [*states, replace(found, phase=Phase.PROBING), replace(found, phase=Phase.READY)]


def test_a_log_gets_each_sentence_once(capsys: pytest.CaptureFixture[str]) -> None:
    with TunnelTalk(Terminal()) as talk:
        for status in tries(100):
            talk(status)
    assert capsys.readouterr().err.splitlines() == [
        "Looking for a pod of svc/jupyter …",
        "Pod a is pending. Trying again …",
        "Waiting for Jupyter in pod a …",
        "The tunnel to pod a is up.",
    ]


def test_a_terminal_has_one_live_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.live = True
    with TunnelTalk(terminal) as talk:
        for status in tries(100):
            talk(status)
    shown = capsys.readouterr().err
    assert "\n" not in shown
    assert shown.endswith("\r\x1b[2K")
    # The reason stays while the next try begins.
    assert shown.count("Looking for a pod") == 1
