"""The proof of a keeper: nobody without the key, or on another port, can give it."""

from hypothesis import given
from hypothesis import strategies as st

from jrc.tunnel.proof import KEY_BYTES, NONCE_BYTES, answer_to, challenge, may_become_question

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
PORTS = st.integers(1, 65535)


@given(KEYS, PORTS, NONCES, st.binary(max_size=200))
def test_the_keeper_answers_and_keeps_what_comes_behind(
    key: bytes, port: int, nonce: bytes, rest: bytes
) -> None:
    asked = challenge(key, port, nonce)
    assert answer_to(asked.question + rest, key, port) == (asked.answer, rest)
    assert not may_become_question(asked.question)
    assert [asked.missing(asked.answer[:size]) for size in (0, 1, 64, 65)] == [65, 64, 1, 0]
    assert asked.missing(b"HTTP/1.1") == 0
    assert all(may_become_question(asked.question[:size]) for size in range(len(asked.question)))


@given(KEYS, KEYS, PORTS, PORTS, NONCES, NONCES)
def test_another_key_port_or_nonce_is_no_proof(
    key: bytes, other_key: bytes, port: int, other_port: int, nonce: bytes, other_nonce: bytes
) -> None:
    asked = challenge(key, port, nonce)
    other = challenge(other_key, other_port, other_nonce)
    answer, _ = answer_to(other.question, other_key, other_port)
    assert asked.is_met_by(answer) == ((key, port, nonce) == (other_key, other_port, other_nonce))


@given(st.binary(max_size=200))
def test_other_bytes_are_left_alone(data: bytes) -> None:
    assert answer_to(data, bytes(KEY_BYTES), 1) == (b"", data)
    assert not may_become_question(b"GET " + data)


def test_a_challenge_does_not_show_its_answer() -> None:
    asked = challenge(bytes(KEY_BYTES), 8888, bytes(NONCE_BYTES))
    assert asked.answer.decode().strip() not in repr(asked)
