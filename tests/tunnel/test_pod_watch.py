"""The stream of a watch: documents that come in any pieces."""

import itertools
import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from jrc.tunnel.resolve import Events

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
documents = st.lists(st.dictionaries(st.text(max_size=4), values), max_size=5)


def in_pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(documents, st.lists(st.integers(0, 400), max_size=12), st.sampled_from([None, 4]))
def test_documents_in_any_pieces(sent: list[object], cuts: list[int], indent: int | None) -> None:
    """kubectl prints each over many lines; the API server sends one a line."""
    data = "\n".join(json.dumps(each, indent=indent) for each in sent).encode()
    events = Events()
    assert [event for piece in in_pieces(data, cuts) for event in events.feed(piece)] == sent


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_garbage_is_no_error(pieces: list[bytes]) -> None:
    events = Events()
    for piece in pieces:
        list(events.feed(piece))
