"""Redaction: known secrets go in every form, unknown ones by their looks, the rest stays."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jrc.doctor.redact import (
    MASK,
    Redactor,
    is_secret_name,
    secrets_below,
    secrets_of_environment,
)

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="*"),
    min_size=4,
    max_size=40,
)
TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=16)

PLACES = (
    "{}",
    "before{}after",
    "https://host/lab?token={}",
    "Authorization: token {}",
    '{{"password": "{}"}}',
    "RuntimeError: refused {} at line 3",
    "a\n{}\nb",
)

FORMS = (
    str,
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: repr(secret)[1:-1],
    lambda secret: base64.b64encode(secret.encode()).decode(),
)


@given(SECRETS, st.sampled_from(PLACES), st.sampled_from(FORMS))
def test_a_known_secret_is_nowhere(secret: str, place: str, form: object) -> None:
    """Whatever surrounds it, and however it is quoted."""
    shown = form(secret)  # type: ignore[operator]
    assume(shown not in place)
    told = Redactor([secret]).text(place.format(shown))
    assert secret not in told.replace(MASK, "")
    assert shown not in told


@given(st.lists(SECRETS, max_size=4), st.text(max_size=200))
def test_no_known_secret_survives_any_text(secrets: list[str], text: str) -> None:
    told = Redactor(secrets).text(text + "".join(secrets) + text)
    assert all(secret not in told.split(MASK) for secret in secrets)


@given(st.lists(SECRETS, max_size=3), st.text(max_size=200))
def test_redacting_twice_is_redacting_once(secrets: list[str], text: str) -> None:
    redactor = Redactor(secrets)
    once = redactor.text(text)
    assert redactor.text(once) == once


@pytest.mark.parametrize(
    "place",
    [
        "GET /api?token={} 200",
        "http://127.0.0.1:8888/lab?reset=1&token={}#top",
        "https://me:{}@host/path",
        "https://{}@host/",
        "Authorization: token {}",
        "authorization: Bearer {}",
        "{{'Authorization': 'token {}', 'Accept': '*/*'}}",
        "(b'Authorization', b'token {}')",
        "Cookie: _xsrf=2; username-host-8888={}",
        "Set-Cookie: a={}; Path=/",
        "X-XSRFToken: {}",
        "JRC_TOKEN={}",
        "DB_PASSWORD='{}'",
        '"client-key-data": "{}"',
        "client-key-data: {}",
        "    token: {}",
        'password = "{}"',
        '{{\\"token\\": \\"{}\\"}}',
        "jrc-helper --token {} --quiet",
        "jrc-helper --api-key={}",
        "aws_secret_access_key = {}",
        "ValueError: bad token {}9",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAB\n{}",
        "eyJhbGciOi{}.x.y",
        "k8s-aws-v1.{}",
        "ghp_{}",
    ],
)
@given(secret=TOKENS)
def test_what_looks_like_a_secret_goes_though_nobody_knows_it(place: str, secret: str) -> None:
    assert secret not in Redactor().text(place.format(secret))


@pytest.mark.parametrize(
    "secret",
    [
        "0123456789abcdef0123456789abcdef0123456789abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "2|1:0|10:1700000000|8:username|44:abcdef|0123",
        "q" * 64,
    ],
)
def test_forms_that_are_nothing_else_go_anywhere(secret: str) -> None:
    assert secret not in Redactor().text(f"seen\n{secret}\nthere")


@pytest.mark.parametrize(
    "text",
    [
        "A Jupyter Server 2.21.1 at https://jupyter.example.org:8443/team/.",
        "kernel 3f2a91c0-1111-2222-3333-444455556666 is idle",
        "There is no token for the profile 'team'.",
        "jrc login https://host/ --profile team --token-stdin",
        "http://127.0.0.1:8888/api/contents/jrc/me@laptop/doctor-1234",
        "/home/somebody/work/a-rather-long-folder-name/and-another-one/file.py",
        "Token authentication is enabled",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "piece", ["a-", "://", "x://a:", "--key", "token=", "\\", '"', "cookie'", "A1a", " ", "eyJ"]
)
def test_a_line_of_any_length_is_done_in_time(piece: str) -> None:
    """A log may hold anything. Where a pattern looks back and forth, this takes minutes."""
    text = piece * (100_000 // len(piece))
    assert len(Redactor().text(text)) <= len(text)


def test_a_short_secret_goes_as_a_word_only() -> None:
    told = Redactor(["cat"]).text("cat, concatenate, 'cat'")
    assert told == "***, concatenate, '***'"


def test_everything_below_a_secret_key_goes() -> None:
    tree = {"credentials": {"a": ["x", {"b": "y"}], "n": 1}, "name": "z", "token": ""}
    assert Redactor().value(tree) == {
        "credentials": {"a": [MASK, {"b": MASK}], "n": 1},
        "name": "z",
        "token": "",
    }


def test_the_home_folder_is_shortened() -> None:
    assert Redactor(home="/home/me").text("/home/me/.config") == "~/.config"


@pytest.mark.parametrize(
    "name",
    [
        "JRC_TOKEN",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "client-key-data",
        "Set-Cookie",
        "API_KEY",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PATH", "HOME", "KEYBOARD", "keyring", "context", "monkey"])
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_of_an_environment() -> None:
    environment = {
        "A_TOKEN": "first-one",
        "AUTH_TOKEN_KIND": "token",
        "HTTPS_PROXY": "http://me:second-one@proxy:3128",
        "PATH": "/usr/bin",
        "PWD": "/somewhere",
    }
    assert secrets_of_environment(environment) == ["first-one", "me:second-one", "second-one"]


def test_secrets_of_a_kubeconfig() -> None:
    users = [
        {"name": "a", "user": {"token": "one-token", "client-key-data": "key-data"}},
        {"name": "b", "user": {"exec": {"env": [{"name": "AWS_SECRET", "value": "two-value"}]}}},
    ]
    assert secrets_below(users) == ["one-token", "key-data", "two-value"]


@pytest.mark.parametrize("kind", ["token", "none", "password"])
def test_a_word_that_names_a_kind_of_secret_is_none(kind: str) -> None:
    """``auth = "token"`` in config.toml must not take every "token" out of a report."""
    profile = {"profiles": {"team": {"auth": kind, "token": "s3cret-s3cret"}}}
    known = secrets_below(profile)
    assert known == ["s3cret-s3cret"]
    redactor = Redactor(known)
    assert redactor.text(f"The server accepts the {kind}.") == f"The server accepts the {kind}."
    assert redactor.value({"auth": kind}) == {"auth": kind}
    assert redactor.value({"auth": "s3cret"}) == {"auth": MASK}
