"""How much a server may send, and how long it may take for it: every limit, with its reason.

A server that many share passes on what nobody has vetted. Without a limit one answer could fill
this machine's memory, or hold a command for ever.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from jrc.errors import ConfigError

MB = 1_000_000

MAX_DOCUMENT = "JRC_MAX_DOCUMENT"
MAX_MESSAGE = "JRC_MAX_MESSAGE"


class Limits(NamedTuple):
    """Bytes count as they are in memory, unpacked.

    Attributes:
        document: bytes of an answer that holds a file, such as a journal. ``JRC_MAX_DOCUMENT``
            raises it.
        answer: bytes of any other answer. Ten thousand kernels are 3 MB.
        line: bytes of one line where an answer comes line by line, as the progress of a hub.
        message: bytes of one websocket message. A message that a person looks at is smaller; a
            larger one is better written to a file. ``JRC_MAX_MESSAGE`` raises it.
        unpacked: bytes of what a run says of itself: its document without outputs. As Python
            objects they can take twenty times as much.
        document_seconds, answer_seconds: for the whole of such an answer, beyond the time that the
            server may think: it could send a byte now and then for ever.
    """

    document: int = 100 * MB
    answer: int = 10 * MB
    line: int = 64_000
    message: int = 256 * MB
    unpacked: int = 32 * MB
    document_seconds: float = 600.0
    answer_seconds: float = 60.0


DEFAULT_LIMITS = Limits()


def limits_from_environment(environment: Mapping[str, str] = os.environ) -> Limits:
    """The limits, those that a person raised included.

    Raises:
        ConfigError: a variable holds no number of megabytes.
    """
    return DEFAULT_LIMITS._replace(
        document=_bytes(environment, MAX_DOCUMENT, DEFAULT_LIMITS.document),
        message=_bytes(environment, MAX_MESSAGE, DEFAULT_LIMITS.message),
    )


def _bytes(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < len(text) <= 9 or int(text) == 0:
        raise ConfigError(
            f"{name} is not a number of megabytes.", hint=f"For example: export {name}=500"
        )
    return int(text) * MB


def raised(name: str, size: int) -> str:
    """What to type to raise a limit.

    Args:
        name: of the variable.
        size: the limit that was reached, in bytes.
    """
    megabytes = max(1, 4 * size // MB)
    return f"If you trust the server, raise the limit (in MB): export {name}={megabytes}"
