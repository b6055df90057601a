"""Install the recorder in a remote kernel: the request, and the reply to it."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from jrc.recorder.in_kernel.frames import (
    ATTRIBUTE,
    METADATA_KEY,
    RECORDER_PROTOCOL,
    RECORDER_VERSION,
)
from jrc.wire.message import Message

# Not compiled again where it is already there: that is half of what the request costs a kernel. The
# text comes beside the code, because IPython reads each line of code several times. A kernel in
# which this fails says nothing, and so it has no recorder.
_CODE = """\
# The recorder of jrc, version {version}: it keeps what the requests of jrc publish.
# To read what runs here: python -m jrc.recorder.install
__import__("builtins").exec({finder!r}, {{"__name__": "jrc_recorder"}})
"""

_FINDER = """\
try:
    kernel = __import__("IPython").get_ipython().kernel
    request = kernel.get_parent("shell")
    install_here = getattr(getattr(kernel, "{attribute}", None), "install_here", None)
    if install_here is None or kernel.{attribute}.version < {version}:
        text = __import__("zlib").decompress(request["buffers"][0])
        exec(compile(text, "<jrc recorder {version}>", "exec"), globals())
    install_here(request["content"]["{key}"]["options"])
except Exception:
    pass
"""


class InstallOptions(NamedTuple):
    """What the kernel is asked to keep, and where.

    Attributes:
        run: id of the run: letters, digits, ``-`` and ``_``; 64 at most.
        memory: bytes of all runs that stay in the kernel's memory; None for the default.
        spool: bytes of all runs in temporary files, and of the journal; None for the default.
        journal: folder for the run's journal, relative to where the kernel was started; None for
            a run that needs none, because its client stays. No part of it may start with a dot:
            servers do not serve hidden files.
        about: goes into the journal's first note, for clients that attach later.
        own: the run started the kernel for itself, and nobody else's habits count in it.
    """

    run: str
    memory: int | None = None
    spool: int | None = None
    journal: str | None = None
    about: Mapping[str, Any] = MappingProxyType({})
    own: bool = False


@dataclass(frozen=True)
class Installed:
    """The recorder is in the kernel, and the run is open.

    Attributes:
        version: of the recorder; newer than ours when somebody brought a newer one.
        instance: hex; another one after a restart of the kernel.
        run: id of the run.
        count: messages of the run so far: more than 0 when it was open before.
        folder: absolute path of the folder that the kernel was started in.
        journal: absolute path of the journal; None without one.
        journal_error: why there is no journal although one was asked for; empty otherwise.
    """

    version: int
    instance: str
    run: str
    count: int
    folder: str
    journal: str | None
    journal_error: str


class NotPossible(NamedTuple):
    """The kernel has no recorder.

    Attributes:
        reason: why, for the person.
    """

    reason: str


@cache
def source() -> str:
    """The text that runs in the kernel: the modules of ``in_kernel``, made short.

    ``tools/shorten_recorder.py`` makes it, and it is committed beside them.
    """
    return Path(__file__).with_name("in_kernel.txt").read_text("utf-8")


def install_content(options: InstallOptions) -> dict[str, Any]:
    """The content of the ``execute_request`` that installs the recorder and opens a run.

    The request goes out ``with_source``.

    It leaves no name behind and no trace in the history. The same request finds a recorder that
    is there already, and replaces an older one.
    """
    asked = {**options._asdict(), "about": dict(options.about)}
    finder = _FINDER.format(key=METADATA_KEY, attribute=ATTRIBUTE, version=RECORDER_VERSION)
    return {
        "code": _CODE.format(version=RECORDER_VERSION, finder=finder),
        METADATA_KEY: {"options": asked},
        "silent": True,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }


def with_source(request: Message) -> Message:
    """The request that installs the recorder, with the recorder's text.

    As a binary buffer it fits into the first segments of a connection: a round trip less.
    """
    return replace(request, buffers=(zlib.compress(source().encode()),))


def parse_install_reply(reply: Message) -> Installed | NotPossible:
    """Read the reply to the installation.

    Args:
        reply: the ``execute_reply`` to ``install_content``.

    Raises:
        WireError: the reply can't be decoded.
    """
    answer = reply.metadata_fields.get(METADATA_KEY)
    if not isinstance(answer, dict):
        status = reply.content_fields.get("status")
        reason = "it is no ipykernel 6 or later" if status == "ok" else f"its reply was '{status}'"
        return NotPossible(reason)
    if not answer.get("installed"):
        return NotPossible(str(answer.get("reason", "it gave no reason")))
    if answer.get("protocol") != RECORDER_PROTOCOL:
        return NotPossible(
            f"it has a recorder of another jrc, which speaks protocol {answer.get('protocol')}"
        )
    if answer.get("disabled"):
        return NotPossible(f"its recorder gave up: {answer['disabled']}")
    try:
        return Installed(
            version=int(answer["version"]),
            instance=str(answer["instance"]),
            run=str(answer["run"]),
            count=int(answer["count"]),
            folder=str(answer["folder"]),
            journal=None if answer["journal"] is None else str(answer["journal"]),
            journal_error=str(answer["journal_error"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return NotPossible("its answer is incomplete")


if __name__ == "__main__":
    print(source(), end="")
