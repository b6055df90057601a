"""``jrc profile`` and ``jrc logout`` as people type them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore
from tests.support.command import Result, run_jrc
from tests.support.keyrings import (
    FileKeyring,
    HangingKeyring,
    LockedKeyring,
    keyring_environment,
)

PLANTED = "planted-t0ken"


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment()


@pytest.fixture
def keyring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring that the commands of this test find and share."""
    file = tmp_path / "keyring.json"
    for name, value in keyring_environment(FileKeyring, file).items():
        monkeypatch.setenv(name, value)
    return file


@pytest.fixture
def two(paths: Paths) -> ProfileStore:
    """Two profiles, the first one the default and with a token in the file."""
    store = ProfileStore(paths)
    store.save(Profile("team", "https://team.org/"), make_default=True)
    store.save(Profile("gpu", "http://gpu:1/", auth="password", user="ana"), make_default=False)
    SecretStore(paths).set("team", Secret(PLANTED))
    return store


def jrc(*args: str) -> Result:
    """Run a command that must work, and never shows the secret."""
    done = run_jrc(*args)
    assert done.code == 0, done.stderr
    assert PLANTED not in done.stdout + done.stderr
    return done


def test_list_of_nothing_says_how_to_begin() -> None:
    done = jrc("profile", "list")
    assert (done.stdout, done.stderr) == ("", "No server is saved yet. Type: jrc login URL\n")


@pytest.mark.parametrize(
    "words",
    [
        *(["kernel", "list"], ["kernel", "start"], ["open"], ["connect"], ["disconnect"]),
        *(["profile", "show"], ["logout"]),
    ],
    ids=" ".join,
)
def test_every_command_that_needs_a_server_says_the_same_without_one(words: list[str]) -> None:
    done = run_jrc(*words)
    assert (done.code, done.stdout) == (3, "")
    assert done.stderr == "error: No server is saved yet.\nhint: Type: jrc login URL\n"


@pytest.mark.parametrize("words", [["kernel", "list"], ["open"]], ids=" ".join)
def test_several_profiles_without_a_default_are_named(two: ProfileStore, words: list[str]) -> None:
    text = two.path.read_text()
    two.path.write_text("".join(line for line in text.splitlines(True) if "default" not in line))
    done = run_jrc(*words)
    assert done.code == 3
    assert done.stderr == (
        "error: No profile is the default. Saved: team, gpu.\nhint: Type: jrc profile use NAME\n"
    )


def test_list_is_a_table_that_marks_the_default(two: ProfileStore) -> None:
    rows = [line.split() for line in jrc("profile", "list").stdout.splitlines()]
    assert rows == [
        ["NAME", "URL", "KIND", "AUTH"],
        ["*", "team", "https://team.org/", "server", "token"],
        ["gpu", "http://gpu:1/", "server", "password"],
    ]


def test_list_as_json_is_one_object_a_line(two: ProfileStore) -> None:
    lines = jrc("profile", "list", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "name": "team",
            "url": "https://team.org/",
            "kind": "server",
            "auth": "token",
            "user": None,
            "verify_tls": True,
            "default": True,
        },
        {
            "name": "gpu",
            "url": "http://gpu:1/",
            "kind": "server",
            "auth": "password",
            "user": "ana",
            "verify_tls": True,
            "default": False,
        },
    ]


def test_show_says_where_the_secret_is(two: ProfileStore, paths: Paths) -> None:
    shown = jrc("profile", "show").stdout
    assert "name    team (default)\n" in shown
    assert "url     https://team.org/\n" in shown
    assert f"secret  {SecretStore(paths).file_path}\n" in shown
    assert f"file    {two.path}\n" in shown


def test_show_says_who_wins(two: ProfileStore, keyring_file: Path) -> None:
    keyring_file.write_text(json.dumps({"jrc/team": PLANTED}))
    secret = json.loads(jrc("profile", "show", "team", "--json").stdout)["secret"]
    assert secret == {"wins": "keyring", "sources": ["keyring", "file"]}
    shown = jrc("profile", "show", "team").stdout
    assert "secret  the keyring (FileKeyring) (wins over " in shown


def test_show_puts_the_environment_first(
    two: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", PLANTED)
    secret = json.loads(jrc("profile", "show", "team", "--json").stdout)["secret"]
    assert secret == {"wins": "environment", "sources": ["environment", "file"]}
    assert "JRC_TOKEN in the environment (wins over" in jrc("profile", "show", "team").stdout


def test_show_of_a_profile_without_a_secret_says_what_to_type(two: ProfileStore) -> None:
    shown = jrc("profile", "show", "gpu").stdout
    assert "secret  none; type: jrc login --profile gpu\n" in shown
    assert "user    ana\n" in shown
    assert "tls     none: plain http\n" in shown


def test_show_of_an_open_server_needs_no_secret(paths: Paths) -> None:
    profile = Profile("open", "https://open/", auth="none", verify_tls=False)
    ProfileStore(paths).save(profile, make_default=True)
    shown = jrc("profile", "show").stdout
    assert "secret  not needed\n" in shown
    assert "tls     certificate NOT checked\n" in shown


def test_show_says_that_the_keyring_is_locked(
    two: ProfileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keyring_environment(LockedKeyring, tmp_path / "unused").items():
        monkeypatch.setenv(name, value)
    assert "warning: the keyring refused (KeyringLocked)" in jrc("profile", "show").stderr


def test_a_hanging_keyring_costs_seconds_not_the_command(
    two: ProfileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keyring_environment(HangingKeyring, tmp_path / "unused").items():
        monkeypatch.setenv(name, value)
    done = jrc("logout", "team")
    assert "warning: the keyring did not answer within 3 s" in done.stderr
    assert "The token of 'team' is removed from the file." in done.stderr


def test_use_changes_the_default(two: ProfileStore) -> None:
    assert jrc("profile", "use", "gpu").stderr == "'gpu' is the default now.\n"
    assert two.default_name() == "gpu"


def test_use_warns_of_the_environment(two: ProfileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRC_PROFILE", "team")
    assert "JRC_PROFILE=team in the environment wins" in jrc("profile", "use", "gpu").stderr
    monkeypatch.setenv("JRC_URL", "https://team.org/?token=" + PLANTED)
    assert "JRC_URL in the environment wins" in jrc("profile", "use", "gpu").stderr


def test_rename_moves_the_token(two: ProfileStore, paths: Paths) -> None:
    jrc("profile", "rename", "team", "ours")
    assert list(two.all()) == ["ours", "gpu"]
    assert two.default_name() == "ours"
    found = SecretStore(paths).get("ours")
    assert found is not None
    assert found[0].reveal() == PLANTED
    assert SecretStore(paths).get("team") is None


def test_remove_takes_the_token_too(two: ProfileStore, paths: Paths) -> None:
    jrc("profile", "remove", "team", "--yes")
    assert list(two.all()) == ["gpu"]
    assert SecretStore(paths).get("team") is None


def test_remove_says_when_no_default_is_left(two: ProfileStore) -> None:
    two.save(Profile("third", "https://third/"), make_default=False)
    assert "jrc profile use NAME" in jrc("profile", "remove", "team", "-y").stderr


def test_remove_does_not_guess_where_nobody_can_answer(two: ProfileStore) -> None:
    done = run_jrc("profile", "remove", "team")
    assert done.code == 3
    assert "hint: Add --yes" in done.stderr
    assert list(two.all()) == ["team", "gpu"]


def test_logout_removes_the_secret_and_keeps_the_profile(
    two: ProfileStore, keyring_file: Path
) -> None:
    keyring_file.write_text(json.dumps({"jrc/team": PLANTED, "jrc/gpu": "other"}))
    done = jrc("logout")
    assert "The token of 'team' is removed from the keyring and the file.\n" in done.stderr
    assert "The profile stays. To log in again: jrc login --profile team\n" in done.stderr
    assert list(two.all()) == ["team", "gpu"]
    assert json.loads(keyring_file.read_text()) == {"jrc/gpu": "other"}
    assert "No token of 'team' was saved." in jrc("logout", "team").stderr


def test_logout_says_that_the_environment_still_has_one(
    two: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", PLANTED)
    assert "warning: JRC_TOKEN in the environment is still used." in jrc("logout").stderr


@pytest.mark.parametrize(
    "args",
    [
        ("logout", "nope"),
        ("profile", "show", "nope"),
        ("profile", "use", "nope"),
        ("profile", "rename", "nope", "x"),
        ("profile", "remove", "nope", "--yes"),
    ],
)
def test_a_name_that_does_not_exist(two: ProfileStore, args: tuple[str, ...]) -> None:
    done = run_jrc(*args)
    assert done.code == 5
    assert done.stderr.splitlines()[0] == "error: There is no profile 'nope'. Saved: team, gpu."


@pytest.mark.parametrize("args", [("profile", "list"), ("profile", "show"), ("logout",)])
def test_a_broken_file_is_named(paths: Paths, args: tuple[str, ...]) -> None:
    ProfileStore(paths).path.parent.mkdir(parents=True)
    ProfileStore(paths).path.write_text("[profiles\n")
    done = run_jrc(*args)
    assert done.code == 3
    assert f"error: {ProfileStore(paths).path}: It is not valid TOML" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("logout",),
        ("profile",),
        *(("profile", sub) for sub in ["list", "show", "use", "rename", "remove"]),
    ],
)
def test_help_fits_a_screen_and_has_an_example(args: tuple[str, ...]) -> None:
    shown = jrc(*args, "--help").stdout
    assert "Example:\n    jrc " in shown
    assert len(shown.splitlines()) <= 24


def completions(line: str) -> list[str]:
    words = line.split(" ")
    done = run_jrc(
        env={
            "_JRC_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("command", ["logout", "profile show", "profile use", "profile remove"])
def test_the_shell_completes_the_names(two: ProfileStore, command: str) -> None:
    assert completions(f"jrc {command} ") == ["team", "gpu"]
    assert completions(f"jrc {command} g") == ["gpu"]


def test_the_shell_completes_nothing_of_a_broken_file(paths: Paths) -> None:
    ProfileStore(paths).path.parent.mkdir(parents=True)
    ProfileStore(paths).path.write_text("[profiles\n")
    assert completions("jrc logout ") == []


HEAVY = """
import sys
from jrc.cli.complete import profile_names

print(profile_names("t"))
print([name for name in ("keyring", "httpx", "tomlkit", "filelock", "rich") if name in sys.modules])
"""


def test_completion_loads_no_heavy_library(two: ProfileStore) -> None:
    done = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["['team']", "[]"]


if os.name == "posix":
    from tests.support.dialog import Dialog

    def test_remove_asks_first(two: ProfileStore) -> None:
        for answer, code, left in (("n", 130, ["team", "gpu"]), ("y", 0, ["gpu"])):
            with Dialog("profile", "remove", "team") as dialog:
                dialog.answer("Remove 'team' and its secret? [y/N]: ", answer)
                assert dialog.end() == code
            assert two.names() == left
