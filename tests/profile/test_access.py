"""The way to a server in config.toml."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import ConfigError
from jrc.profile.access import Access, header_fault, header_key
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
SOURCES = st.sampled_from(["env:NAME", "keyring", "plain:a value"])
TEXTS = st.text(st.characters(exclude_categories=["C"]), max_size=9)


@given(
    st.builds(
        Access,
        ca_file=TEXTS,
        client_cert=TEXTS,
        client_key=TEXTS,
        headers=st.dictionaries(NAMES, SOURCES, max_size=3),
        credential_command=st.lists(TEXTS, max_size=3).map(tuple),
    )
)
def test_a_table_comes_back(access: Access) -> None:
    profile = Profile("it", "https://h/", access=access)
    assert Profile.from_table("it", profile.to_table()) == profile


def test_it_is_saved_and_taken_away() -> None:
    store = ProfileStore(Paths.from_environment())
    access = Access(ca_file="/ca.pem", headers={"X-A": "env:A"}, credential_command=("get", "x"))
    full = Profile("it", "https://h/", kind="hub", access=access, server="s", options={"a": "b"})
    store.save(full, make_default=True)
    assert store.get("it") == full
    store.save(Profile("it", "https://h/"), make_default=False)
    assert store.get("it") == Profile("it", "https://h/")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ca_file": 1}, "its ca_file is not text"),
        ({"headers": []}, "its headers is not a table"),
        ({"headers": {"X-A": "s3cret"}}, "does not say where X-A comes from"),
        ({"headers": {"X A": "keyring"}}, "can't be the name of a header"),
        ({"credential_command": "get token"}, "is not a list of words"),
        ({"options": {"a": 1}}, "its options.a is not text but a number"),
    ],
)
def test_faults(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Profile.from_table("it", {"url": "https://h/", **table})
    assert words in raised.value.message
    assert "s3cret" not in raised.value.message


def test_sources() -> None:
    assert header_fault("X-A", "env:A") is None
    assert header_fault("X-A", "A") is not None
    assert header_key("team", "X-A") == "team/x-a"
