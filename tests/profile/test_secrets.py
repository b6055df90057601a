"""Secrets: keyring or file, never both, never shown, and never a hang."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null

from jrc.errors import ConfigError
from jrc.profile import secrets as secrets_module
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretSource, SecretStore
from tests.support.keyrings import (
    ForgetfulKeyring,
    HangingKeyring,
    LockedKeyring,
    MemoryKeyring,
    ReadOnlyKeyring,
    keyring_environment,
)

PLANTED = Secret("planted-é-t0ken")
OTHER = Secret("other-t0ken")

Use = Callable[[KeyringBackend], SecretStore]


@pytest.fixture
def use() -> Iterator[Use]:
    """Makes a keyring the system's own and gives a store that meets it for the first time."""
    before = keyring.get_keyring()

    def put(backend: KeyringBackend) -> SecretStore:
        keyring.set_keyring(backend)
        return SecretStore(Paths.from_environment())

    yield put
    keyring.set_keyring(before)


def files_with(value: str) -> list[Path]:
    """Every file of jrc that holds the text, as it is or as JSON writes it."""
    forms = (value.encode(), json.dumps(value)[1:-1].encode())
    files = [path for path in Path(os.environ["JRC_HOME"]).rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


def test_nothing_is_saved_at_first(use: Use) -> None:
    store = use(MemoryKeyring())
    assert store.get("team") is None
    assert store.sources("team") == []
    assert store.delete("team") == []


def test_a_keyring_takes_the_secret_and_no_file_does(use: Use) -> None:
    backend = MemoryKeyring()
    store = use(backend)
    assert store.set("team", PLANTED) is SecretSource.KEYRING
    assert backend.entries == {("jrc", "team"): PLANTED.reveal()}
    assert (store.keyring_name, store.keyring_fault) == ("MemoryKeyring", None)
    assert store.get("team") == (PLANTED, SecretSource.KEYRING)
    assert files_with(PLANTED.reveal()) == []


BROKEN = {
    "none": (fail.Keyring, "no keyring here"),
    "switched off": (null.Keyring, "no keyring here"),
    "locked": (LockedKeyring, "the keyring refused (KeyringLocked)"),
    "read only": (ReadOnlyKeyring, "the keyring refused (KeyringLocked)"),
    "forgetful": (ForgetfulKeyring, "the keyring did not keep it"),
    "hanging": (HangingKeyring, "the keyring did not answer within 0.2 s"),
}


@pytest.mark.parametrize(("backend", "fault"), BROKEN.values(), ids=list(BROKEN))
def test_without_a_usable_keyring_a_private_file_takes_it(
    use: Use, monkeypatch: pytest.MonkeyPatch, backend: type[KeyringBackend], fault: str
) -> None:
    monkeypatch.setattr(secrets_module, "KEYRING_DEADLINE", 0.2)
    store = use(backend())
    assert store.set("team", PLANTED) is SecretSource.FILE
    assert store.keyring_fault == fault
    assert store.get("team") == (PLANTED, SecretSource.FILE)
    assert files_with(PLANTED.reveal()) == [store.file_path]
    if os.name == "posix":
        assert stat.S_IMODE(store.file_path.stat().st_mode) == 0o600
        assert stat.S_IMODE(store.file_path.parent.stat().st_mode) == 0o700
    assert store.delete("team") == [SecretSource.FILE]
    assert files_with(PLANTED.reveal()) == []


def test_the_file_holds_several_profiles(use: Use) -> None:
    store = use(fail.Keyring())
    store.set("a", PLANTED)
    store.set("b", OTHER)
    store.delete("a")
    assert store.get("a") is None
    assert store.get("b") == (OTHER, SecretSource.FILE)


def test_a_new_secret_in_the_keyring_removes_the_one_in_the_file(use: Use) -> None:
    use(fail.Keyring()).set("team", PLANTED)
    store = use(MemoryKeyring())
    store.set("team", OTHER)
    assert store.sources("team") == [SecretSource.KEYRING]
    assert files_with(PLANTED.reveal()) == []


def test_a_new_secret_in_the_file_removes_the_one_in_the_keyring(use: Use) -> None:
    backend = ReadOnlyKeyring()
    backend.entries["jrc", "team"] = PLANTED.reveal()
    store = use(backend)
    assert store.set("team", OTHER) is SecretSource.FILE
    assert store.sources("team") == [SecretSource.FILE]
    assert store.get("team") == (OTHER, SecretSource.FILE)


def test_the_environment_wins_then_the_keyring_then_the_file(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(fail.Keyring()).set("team", Secret("in the file"))
    backend = MemoryKeyring()
    backend.entries["jrc", "team"] = "in the keyring"
    store = use(backend)
    assert store.get("team") == (Secret("in the keyring"), SecretSource.KEYRING)
    monkeypatch.setenv("JRC_TOKEN", "in the environment\n")
    assert store.get("team") == (Secret("in the environment"), SecretSource.ENVIRONMENT)
    assert store.sources("team") == list(SecretSource)
    monkeypatch.setenv("JRC_TOKEN", " ")
    assert store.sources("team") == [SecretSource.KEYRING, SecretSource.FILE]


def test_logout_deletes_both(use: Use) -> None:
    use(fail.Keyring()).set("team", PLANTED)
    backend = MemoryKeyring()
    backend.entries["jrc", "team"] = OTHER.reveal()
    store = use(backend)
    assert store.delete("team") == [SecretSource.KEYRING, SecretSource.FILE]
    assert store.sources("team") == []
    assert backend.entries == {}


@pytest.mark.parametrize("backend", [MemoryKeyring, fail.Keyring])
def test_a_secret_moves_with_its_profile(use: Use, backend: type[KeyringBackend]) -> None:
    store = use(backend())
    source = store.set("old", PLANTED)
    store.set("new", OTHER)
    store.rename("old", "new")
    assert store.get("new") == (PLANTED, source)
    assert store.get("old") is None
    store.rename("old", "new")
    assert store.sources("new") == []


def test_the_environment_is_not_moved_into_a_file(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", PLANTED.reveal())
    use(fail.Keyring()).rename("old", "new")
    assert files_with(PLANTED.reveal()) == []


def test_no_error_and_no_repr_shows_a_secret(use: Use) -> None:
    """LockedKeyring quotes the password in its error; the store's words must not."""
    store = use(LockedKeyring())
    store.set("team", PLANTED)
    shown = f"{store!r} {vars(store)} {store.keyring_fault} {store.get('team')!r}"
    assert PLANTED.reveal() not in shown


@pytest.mark.parametrize(
    "content", ['{"team": "planted"', '["planted"]', '{"team": {"planted": 1}}']
)
def test_a_broken_file_is_named_and_not_quoted(use: Use, content: str) -> None:
    store = use(fail.Keyring())
    store.file_path.parent.mkdir(parents=True)
    store.file_path.write_text(content)
    with pytest.raises(ConfigError, match=r"secrets\.json is not what jrc wrote") as caught:
        store.set("team", OTHER)
    error: BaseException | None = caught.value
    while error is not None:
        assert "planted" not in f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert store.file_path.read_text() == content


if os.name == "posix":

    def test_a_file_that_others_could_read_is_closed_again(use: Use) -> None:
        store = use(fail.Keyring())
        store.set("team", PLANTED)
        store.file_path.chmod(0o644)
        store.get("team")
        assert stat.S_IMODE(store.file_path.stat().st_mode) == 0o600


def test_a_hanging_keyring_is_asked_once(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_module, "KEYRING_DEADLINE", 0.2)
    calls: list[str] = []

    class Counting(HangingKeyring):
        def get_password(self, service: str, username: str) -> str | None:
            calls.append(username)
            return super().get_password(service, username)

    store = use(Counting())
    for _ in range(3):
        assert store.get("team") is None
    assert calls == ["team"]


HANG = """
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore

store = SecretStore(Paths.from_environment())
print(store.set("team", Secret("x")), "|", store.keyring_fault)
"""


def test_a_hanging_keyring_does_not_keep_the_process(tmp_path: Path) -> None:
    """The deadline is the real one, and the thread that still waits does not block the exit."""
    env = {**os.environ, **keyring_environment(HangingKeyring, tmp_path / "unused")}
    done = subprocess.run(
        [sys.executable, "-c", HANG], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "file | the keyring did not answer within 3 s\n"
    assert (done.returncode, done.stderr) == (0, "")


SAVE_SOME = """
import sys
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore

store = SecretStore(Paths.from_environment())
for number in range(10):
    store.set(f"{sys.argv[1]}-{number}", Secret(f"secret of {sys.argv[1]}-{number}"))
"""


def test_processes_that_save_at_once_lose_nothing(use: Use) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", SAVE_SOME, letter]) for letter in "abc"]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    store = use(fail.Keyring())
    for name in (f"{letter}-{number}" for letter in "abc" for number in range(10)):
        assert store.get(name) == (Secret(f"secret of {name}"), SecretSource.FILE)
