"""The bytes of recorded messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.recorder.in_kernel.records import (
    CHANNELS,
    RECORD_HEAD,
    BadRecordError,
    decode_record,
    encode_record,
    flat_bytes,
    whole_records,
)

PARTS = st.lists(st.binary(max_size=200), max_size=9)
NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS, st.integers(0, 3), PARTS, st.booleans())
def test_what_is_encoded_is_decoded(
    number: int, channel: int, parts: list[bytes], checked: bool
) -> None:
    record = decode_record(memoryview(encode_record(number, channel, parts, checked)), 0)
    assert record is not None
    assert (record.number, record.channel) == (number, CHANNELS[channel])
    assert [bytes(part) for part in record.parts] == parts


@given(st.lists(st.tuples(NUMBERS, PARTS), min_size=1, max_size=5), st.data())
def test_a_cut_anywhere_keeps_the_records_before_it(
    records: list[tuple[int, list[bytes]]], data: st.DataObject
) -> None:
    encoded = [encode_record(number, 0, parts) for number, parts in records]
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    found = list(whole_records(memoryview(whole[:cut])))
    kept = [number for number, _, end in found if end <= cut]
    assert kept == [number for number, _ in records][: len(kept)]
    rest = found[-1][2] if found else 0
    assert decode_record(memoryview(whole[:cut]), rest) is None
    assert len(kept) == len(records) or cut - rest < len(encoded[len(kept)])


@given(PARTS, st.data())
def test_a_damaged_checked_record_is_never_decoded(parts: list[bytes], data: st.DataObject) -> None:
    record = bytearray(encode_record(7, 0, parts, checked=True))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    # A check of zero stands for none: the one damage that nobody sees.
    if record[4:8] == bytes(4):
        return
    try:
        assert decode_record(memoryview(record), 0) is None
    except BadRecordError:
        return


@given(st.binary(max_size=100))
def test_no_bytes_at_all_crash_the_decoder(garbage: bytes) -> None:
    try:
        decode_record(memoryview(garbage), 0)
    except BadRecordError:
        return


@given(st.binary(min_size=25, max_size=60))
def test_no_head_crashes_the_decoder(rest: bytes) -> None:
    try:
        decode_record(memoryview(b"jrcR" + rest), 0)
    except BadRecordError:
        return


def test_a_record_that_does_not_fit_its_parts_is_refused() -> None:
    record = bytearray(encode_record(1, 0, [b"abc"]))
    record[RECORD_HEAD.size] = 2
    with pytest.raises(BadRecordError, match="does not fit"):
        decode_record(memoryview(record), 0)


def test_any_contiguous_buffer_is_flattened() -> None:
    floats = memoryview(bytes(range(16))).cast("d")
    assert bytes(flat_bytes(floats)) == bytes(range(16))
    matrix = memoryview(bytes(range(6))).cast("B", (2, 3))
    assert bytes(flat_bytes(matrix)) == bytes(range(6))
    assert bytes(flat_bytes(bytearray(b"x"))) == b"x"
