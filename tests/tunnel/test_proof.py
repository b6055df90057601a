"""The proof of a keeper: nobody without the key, or on another connection, can give it."""

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.tunnel.proof import (
    KEY_BYTES,
    NONCE_BYTES,
    Ends,
    answer_to,
    challenge,
    may_become_question,
)
from tests.support.fuzzing import examples

pytestmark = pytest.mark.attacks

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
HOSTS = st.sampled_from(["127.0.0.1", "127.0.0.2", "127.0.0.11"])
PORTS = st.integers(1, 65535)
ADDRESSES = st.tuples(HOSTS, PORTS)
ENDS = st.builds(Ends, ADDRESSES, ADDRESSES)
HERE = Ends(("127.0.0.1", 40000), ("127.0.0.1", 8888))

T = TypeVar("T")


@examples(100)
@given(KEYS, ENDS, NONCES, st.binary(max_size=200))
def test_the_keeper_answers_and_keeps_what_comes_behind(
    key: bytes, ends: Ends, nonce: bytes, rest: bytes
) -> None:
    asked = challenge(key, ends, nonce)
    assert answer_to(asked.question + rest, key, ends) == (asked.answer, rest)
    assert not may_become_question(asked.question)
    assert [asked.missing(asked.answer[:size]) for size in (0, 1, 64, 65)] == [65, 64, 1, 0]
    assert asked.missing(b"HTTP/1.1") == 0
    assert all(may_become_question(asked.question[:size]) for size in range(len(asked.question)))


@examples(100)
@given(KEYS, ENDS, NONCES, st.data())
def test_another_key_end_or_nonce_is_no_proof(
    key: bytes, ends: Ends, nonce: bytes, data: st.DataObject
) -> None:
    """One of them at a time."""
    asked = challenge(key, ends, nonce)

    def answer(key: bytes, ends: Ends, nonce: bytes) -> bytes:
        return answer_to(challenge(key, ends, nonce).question, key, ends)[0]

    def other(values: st.SearchStrategy[T], than: T) -> T:
        return data.draw(values.filter(lambda value: value != than))

    assert asked.is_met_by(answer(key, ends, nonce))
    assert not asked.is_met_by(answer(other(KEYS, key), ends, nonce))
    assert not asked.is_met_by(answer(key, ends, other(NONCES, nonce)))
    for name, (host, port) in ends._asdict().items():
        for address in ((other(HOSTS, host), port), (host, other(PORTS, port))):
            assert not asked.is_met_by(answer(key, ends._replace(**{name: address}), nonce))


@examples(100)
@given(st.binary(max_size=200))
def test_other_bytes_are_left_alone(data: bytes) -> None:
    assert answer_to(data, bytes(KEY_BYTES), HERE) == (b"", data)
    assert not may_become_question(b"GET " + data)


def test_a_challenge_does_not_show_its_answer() -> None:
    asked = challenge(bytes(KEY_BYTES), HERE, bytes(NONCE_BYTES))
    assert asked.answer.decode().strip() not in repr(asked)
