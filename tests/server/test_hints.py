"""Hints that name the profile, so that what is typed changes the outcome."""

import pytest

from jrc.errors import AuthError, JrcError, UnreachableError
from jrc.server.hints import name_environment, name_login, name_profile

HERE = "https://jupyter.example.org/team/"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"Log in again: jrc login {HERE}", "Log in again: jrc login --profile lab"),
        ("Log in again: jrc login URL", "Log in again: jrc login --profile lab"),
        ("Log in again: jrc login", "Log in again: jrc login --profile lab"),
        (
            "If you have it: jrc login URL --ca-file FILE",
            "If you have it: jrc login --profile lab --ca-file FILE",
        ),
        (
            "jrc login https://other.example.org/",
            "jrc login https://other.example.org/ --profile lab",
        ),
        (
            "jrc login 'https://other.example.org/;touch x'",
            "jrc login 'https://other.example.org/;touch x' --profile lab",
        ),
        ("jrc login --profile lab --header X=keyring",) * 2,
        ("See: jrc kernel list",) * 2,
    ],
)
def test_a_hint_changes_the_profile(before: str, after: str) -> None:
    error = JrcError("It failed.", hint=before)
    name_profile(error, "lab", [HERE])
    assert error.hint == after


def test_a_login_that_is_not_saved_keeps_its_url() -> None:
    error = JrcError("It failed.", hint="jrc login URL --ca-file FILE")
    name_login(error, f"jrc login {HERE}", [HERE])
    assert error.hint == f"jrc login {HERE} --ca-file FILE"


@pytest.mark.parametrize(
    ("error", "token", "saved", "hint"),
    [
        (AuthError, True, True, "or use the saved one: unset JRC_TOKEN"),
        (AuthError, True, False, "JRC_TOKEN in the environment: correct it."),
        (AuthError, False, False, "Set JRC_TOKEN to the server's token."),
        (UnreachableError, False, False, "export JRC_URL=https://x/"),
    ],
)
def test_a_hint_names_the_environment(
    error: type[JrcError], token: bool, saved: bool, hint: str
) -> None:
    failed = error("It failed.", hint="jrc login https://x/")
    name_environment(failed, HERE, token=token, saved=saved)
    assert hint in (failed.hint or "")
