"""How a keeper proves to jrc's own clients that it is the keeper. Pure.

Any user of this machine may listen on a port that a keeper left. So a client of ours sends nothing
but a question first, and the keeper answers it with a key that only its owner can read::

    client   JRC-TUNNEL-1 <nonce>⏎
    keeper   HMAC-SHA256(key, "keeper of <port> <nonce>")⏎

What follows on the connection is HTTP. The nonce is new for each connection, and the port is part
of the answer: one that listens elsewhere can't pass the question on to the keeper.
"""

import hmac
from typing import NamedTuple

NONCE_BYTES = 32
KEY_BYTES = 32

_HELLO = b"JRC-TUNNEL-1 "
"""No request of HTTP begins so."""

_DIGITS = b"0123456789abcdef"
_QUESTION = len(_HELLO) + 2 * NONCE_BYTES + 1


class Challenge(NamedTuple):
    """What a client sends and expects.

    Attributes:
        port: where, on 127.0.0.1.
        question: what to send.
        answer: what the keeper sends, and nobody else can.
    """

    port: int
    question: bytes
    answer: bytes

    def __repr__(self) -> str:
        # The answer would be a proof.
        return f"Challenge({self.port})"

    def missing(self, begun: bytes) -> int:
        """How many bytes are still to come behind the beginning of an answer; 0 for a wrong one."""
        return 0 if begun.strip(_DIGITS) else len(self.answer) - len(begun)

    def is_met_by(self, answer: bytes) -> bool:
        """Whether the keeper has answered."""
        return hmac.compare_digest(answer, self.answer)


def challenge(key: bytes, port: int, nonce: bytes) -> Challenge:
    """A new question to the keeper of a port.

    Args:
        key: ``KEY_BYTES`` long.
        port: where it should listen.
        nonce: ``NONCE_BYTES`` random bytes.
    """
    text = nonce.hex().encode()
    return Challenge(port, _HELLO + text + b"\n", _answer(key, port, text))


def may_become_question(data: bytes) -> bool:
    """Whether the beginning of a connection may be that of a question, and more must come."""
    return len(data) < _QUESTION and data[: len(_HELLO)] == _HELLO[: len(data)]


def answer_to(data: bytes, key: bytes, port: int) -> tuple[bytes, bytes]:
    """What to answer to the beginning of a connection.

    Args:
        data: a whole question and perhaps more, or something else.
        key: the keeper's.
        port: the keeper's.

    Returns:
        the answer, which is empty where there was no question; and the data behind the question.
    """
    if not data.startswith(_HELLO) or data[_QUESTION - 1 : _QUESTION] != b"\n":
        return b"", data
    nonce = data[len(_HELLO) : _QUESTION - 1]
    return _answer(key, port, nonce), data[_QUESTION:]


def _answer(key: bytes, port: int, nonce: bytes) -> bytes:
    said = b"keeper of %d %s" % (port, nonce)
    return hmac.digest(key, said, "sha256").hex().encode() + b"\n"
