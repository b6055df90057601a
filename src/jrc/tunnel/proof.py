"""How a keeper proves to jrc's own clients that it is the keeper. Pure.

Any user of this machine may listen on a port that a keeper left. So a client of ours sends nothing
but a question first, and the keeper answers it with a key that only its owner can read::

    client   JRC-TUNNEL-2 <nonce>⏎
    keeper   HMAC-SHA256(key, "keeper at <address> for <address of the client> <nonce>")⏎

What follows on the connection is HTTP. An address is a host and a port. The nonce is new for each
connection, so that no answer can be used again. The two addresses are those of the connection's
ends, as each side sees them: one who passes the question on to the keeper does so on another
connection, and the answer that he gets there is for the ends of that one. No two connections have
the same ends (RFC 9293: they identify it), and the client's stands from its question until its
answer.

The hosts count as much as the ports: another user can connect from the port that the client has,
at another address of this machine, such as 127.0.0.2.
"""

import hmac
from typing import NamedTuple

from jrc.tunnel import Address

NONCE_BYTES = 32
KEY_BYTES = 32

PROTOCOL = "JRC-TUNNEL-2"
"""The line of the question begins so, and no request of HTTP does."""

_HELLO = f"{PROTOCOL} ".encode()
_DIGITS = b"0123456789abcdef"
_QUESTION = len(_HELLO) + 2 * NONCE_BYTES + 1


class Ends(NamedTuple):
    """The ends of a connection between a client and a keeper."""

    client: Address
    keeper: Address


class Challenge(NamedTuple):
    """What a client sends and expects.

    Attributes:
        question: what to send.
        answer: what the keeper sends, and nobody else can.
    """

    question: bytes
    answer: bytes

    def __repr__(self) -> str:
        # The answer would be a proof.
        return "Challenge()"

    def missing(self, begun: bytes) -> int:
        """How many bytes are still to come behind the beginning of an answer; 0 for a wrong one."""
        return 0 if begun.strip(_DIGITS) else len(self.answer) - len(begun)

    def is_met_by(self, answer: bytes) -> bool:
        """Whether the keeper has answered."""
        return hmac.compare_digest(answer, self.answer)


def challenge(key: bytes, ends: Ends, nonce: bytes) -> Challenge:
    """A new question to a keeper.

    Args:
        key: ``KEY_BYTES`` long.
        ends: of the connection to where it should listen.
        nonce: ``NONCE_BYTES`` random bytes.
    """
    text = nonce.hex().encode()
    return Challenge(_HELLO + text + b"\n", _answer(key, ends, text))


def may_become_question(data: bytes) -> bool:
    """Whether the beginning of a connection may be that of a question, and more must come."""
    return len(data) < _QUESTION and data[: len(_HELLO)] == _HELLO[: len(data)]


def answer_to(data: bytes, key: bytes, ends: Ends) -> tuple[bytes, bytes]:
    """What to answer to the beginning of a connection.

    Args:
        data: a whole question and perhaps more, or something else.
        key: the keeper's.
        ends: of the connection.

    Returns:
        the answer, which is empty where there was no question; and the data behind the question.
    """
    if not data.startswith(_HELLO) or data[_QUESTION - 1 : _QUESTION] != b"\n":
        return b"", data
    nonce = data[len(_HELLO) : _QUESTION - 1]
    return _answer(key, ends, nonce), data[_QUESTION:]


def _answer(key: bytes, ends: Ends, nonce: bytes) -> bytes:
    (host, port), (client_host, client_port) = ends.keeper, ends.client
    said = f"keeper at {host}:{port} for {client_host}:{client_port} ".encode() + nonce
    return hmac.digest(key, said, "sha256").hex().encode() + b"\n"
