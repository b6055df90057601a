"""Profiles: what a hand-edited table may say, and how names are made."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import ConfigError, UsageError
from jrc.profile.model import Profile, check_name, free_name, is_name, name_from_url, url_fault
from jrc.profile.route import Route

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
HOSTS = st.text(string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=80)


def test_a_table_needs_no_more_than_a_url() -> None:
    assert Profile.from_table("team", {"url": "https://x/"}) == Profile("team", "https://x/")


@given(
    st.builds(
        Profile,
        name=NAMES,
        url=st.just("https://x/"),
        kind=st.sampled_from(["server", "hub", "gateway"]),
        auth=st.sampled_from(["token", "password", "none"]),
        user=st.text(),
        verify_tls=st.booleans(),
    )
)
def test_a_table_gives_the_same_profile_back(profile: Profile) -> None:
    assert Profile.from_table(profile.name, profile.to_table()) == profile


def test_keys_of_others_are_ignored() -> None:
    table = {"url": "https://x/", "elsewhere": {"namespace": "n"}, "note": 1}
    assert Profile.from_table("team", table).url == "https://x/"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "Profile 'p' has no url"),
        ("https://x/", "Profile 'p' is not a table but text"),
        ({"url": 8888}, "its url is not text but a number"),
        ({"url": "x.org"}, "its url is not http://HOST or https://HOST"),
        ({"url": "ftp://x/"}, "its url is not http://HOST or https://HOST"),
        ({"url": "http://"}, "its url is not http://HOST or https://HOST"),
        ({"url": "http://x:port/"}, "its url is not a URL"),
        ({"url": "https://x/", "kind": 1}, "its kind is not text but a number"),
        ({"url": "https://x/", "auth": "oauth"}, "its auth is none of token, password, none"),
        ({"url": "https://x/", "user": True}, "its user is not text but true or false"),
        ({"url": "https://x/", "verify_tls": "no"}, "verify_tls is not true or false but text"),
    ],
)
def test_a_table_that_is_no_profile_is_refused_with_the_key(table: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Profile.from_table("p", table)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://x/?token=planted",
        "https://x/#planted",
        "https://u:planted@x/",
        "https://planted@x/",
    ],
)
def test_a_url_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Profile.from_table("p", {"url": url})
    assert "planted" not in caught.value.message


def test_a_table_under_a_name_that_can_not_be_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't name a profile"):
        Profile.from_table("a b", {"url": "https://x/"})


@pytest.mark.parametrize("name", ["", "-p", ".", "a b", "a/b", "é", "a\n", "a" * 64, "$(x)"])
def test_names_that_a_shell_or_a_folder_would_not_like(name: str) -> None:
    with pytest.raises(UsageError, match="only letters, digits"):
        check_name(name)


@given(NAMES)
def test_names_that_are_fine(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://jupyter.team.org/hub/", "jupyter.team.org"),
        ("http://localhost:8888/", "localhost"),
        ("http://[::1]:8888/", "1"),
        ("https://Team_1.x/", "team_1.x"),
        ("https://bücher.de/", "b-cher.de"),
        ("https://例え/", "server"),
    ],
)
def test_a_profile_is_named_after_the_host(url: str, name: str) -> None:
    assert name_from_url(url) == name


@given(HOSTS)
def test_every_host_gives_a_valid_name(host: str) -> None:
    assert is_name(name_from_url(f"https://{host}/"))


def test_the_same_server_keeps_its_name_and_another_gets_a_number() -> None:
    taken = {name: Profile(name, f"https://{name}/") for name in ("a", "a-2")}
    assert free_name("b", "https://x/", taken) == "b"
    assert free_name("a", "https://a/", taken) == "a"
    assert free_name("a", "https://a-2/", taken) == "a-2"
    assert free_name("a", "https://x/", taken) == "a-3"


@given(NAMES, st.integers(0, 12))
def test_a_numbered_name_is_valid_and_free(name: str, count: int) -> None:
    taken: dict[str, Profile] = {}
    for number in range(count):
        free = free_name(name, f"https://{number}/", taken)
        assert free not in taken
        taken[free] = Profile(check_name(free), f"https://{number}/")


@given(st.text())
def test_any_text_is_judged_and_none_raises(text: str) -> None:
    assert url_fault(text) is None or isinstance(url_fault(text), str)


ROUTE = Route("prod", "team", "svc/jupyter", 8888)


def test_a_way_through_kubernetes_survives_the_table() -> None:
    """What equals its default is not written."""
    profile = Profile("gpu", "http://127.0.0.1:20000/", kubernetes=ROUTE)
    table = profile.to_table()
    assert table["kubernetes"] == {
        "context": "prod",
        "namespace": "team",
        "target": "svc/jupyter",
        "port": 8888,
    }
    assert Profile.from_table("gpu", table) == profile
    more = replace(profile, kubernetes=replace(ROUTE, kubeconfig="/k", idle_minutes=0))
    assert Profile.from_table("gpu", more.to_table()) == more


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("prod", "its kubernetes is not a table but text"),
        ({}, "has no kubernetes.context"),
        (
            {**ROUTE.to_table(), "port": "8888"},
            "its kubernetes.port is not a whole number but text",
        ),
        ({**ROUTE.to_table(), "port": True}, "its kubernetes.port is not a whole number"),
        ({**ROUTE.to_table(), "target": 1}, "its kubernetes.target is not text but a number"),
    ],
)
def test_a_wrong_way_through_kubernetes_is_named(table: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Profile.from_table("gpu", {"url": "http://127.0.0.1:20000/", "kubernetes": table})
