"""The error tree: every failure that jrc reports to a person, with its exit code.

    JrcError                    70
    ├── UsageError               2  the command line asks for something impossible
    ├── ConfigError              3  a profile, a config file or the secret store is unusable
    ├── AuthError                4  the server refused the credentials, or none are there
    ├── NotFoundError            5  a file, kernelspec, kernel, profile or run does not exist
    ├── UnreachableError         6  no usable answer from the server, the hub or the cluster
    ├── DeadlineError            7  a named deadline passed
    ├── KernelDiedError          8  the kernel died, was restarted or was deleted
    ├── ProtocolError            9  an answer that breaks the protocol
    │   ├── WireError            9  a frame that can't be decoded
    │   └── OutputLostError      9  output that the kernel published did not arrive
    ├── RemoteError              1  the remote code failed
    └── InterruptedByUserError 130  Ctrl-C, or jrc cancel

A foreign exception never crosses the room that uses the library it comes from: the room raises one
of these ``from`` it.
"""

import sys
from enum import IntEnum


class ExitCode(IntEnum):
    """What the ``jrc`` process ends with. A script's own ``sys.exit(n)`` gives n instead."""

    OK = 0
    REMOTE_FAILED = 1
    USAGE = 2
    CONFIG = 3
    AUTH = 4
    NOT_FOUND = 5
    UNREACHABLE = 6
    DEADLINE = 7
    KERNEL_DIED = 8
    PROTOCOL = 9
    BUG = 70
    INTERRUPTED = 130


def process_code(code: int) -> int:
    """What a process has that exits with this code: elsewhere than on Windows, a byte of it."""
    return code if sys.platform == "win32" else code & 0xFF


class JrcError(Exception):
    """A failure that a person can understand and act on.

    Args:
        message: what failed, with which object, and why. One sentence; no secret.
        hint: what to type or to do next, when there is something.
    """

    exit_code: int = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(JrcError):
    """The command line asks for something impossible."""

    exit_code: int = ExitCode.USAGE


class ConfigError(JrcError):
    """A profile, a config file or the secret store can't be used."""

    exit_code: int = ExitCode.CONFIG


class AuthError(JrcError):
    """The server refused the credentials, or there are none."""

    exit_code: int = ExitCode.AUTH


class NotFoundError(JrcError):
    """A file, kernelspec, kernel, profile or run does not exist."""

    exit_code: int = ExitCode.NOT_FOUND


class UnreachableError(JrcError):
    """No usable answer came from the server, the hub or the cluster."""

    exit_code: int = ExitCode.UNREACHABLE


class DeadlineError(JrcError):
    """A named deadline passed."""

    exit_code: int = ExitCode.DEADLINE


class KernelDiedError(JrcError):
    """The kernel died, was restarted or was deleted while it was needed."""

    exit_code: int = ExitCode.KERNEL_DIED


class ProtocolError(JrcError):
    """The other side broke the protocol."""

    exit_code: int = ExitCode.PROTOCOL


class WireError(ProtocolError):
    """A frame or message that can't be decoded."""


class OutputLostError(ProtocolError):
    """Output that the kernel published did not arrive."""


class RemoteError(JrcError):
    """The remote code failed. ``exit_code`` is a script's own ``sys.exit(n)``, else 1."""

    exit_code: int = ExitCode.REMOTE_FAILED

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.exit_code: int = exit_code


class InterruptedByUserError(JrcError):
    """The person pressed Ctrl-C, or the run was cancelled with jrc cancel."""

    exit_code: int = ExitCode.INTERRUPTED
