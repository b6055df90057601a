"""Words that a person types in a shell."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.shell import join, quote

POSIX = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("a.ipynb", "a.ipynb"),
        ("it's", "'it'\"'\"'s'"),
        ("데이터 1.ipynb", "'데이터 1.ipynb'"),
        (os.fsdecode(b"r\xe9.ipynb"), r"$'r\xe9.ipynb'"),
        (os.fsdecode("훈련'\\".encode() + b"\xff1"), r"$'훈련\'\\\xff1'"),
        ("two\nlines", r"$'two\x0alines'"),
        ("\ud800", "'\ud800'"),
    ],
)
def test_what_no_keyboard_has_is_spelled_out(word: str, typed: str) -> None:
    assert quote(word) == typed


@POSIX
@given(st.lists(st.binary(max_size=20).filter(lambda word: b"\0" not in word), min_size=1))
def test_a_shell_reads_the_same_words(words: list[bytes]) -> None:
    command = "printf '%s\\0' " + join(map(os.fsdecode, words))
    read = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    assert read.stdout.split(b"\0")[:-1] == words
