"""``jrc login`` as people type it, against real servers and against what is none."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from jrc.cli.login.credentials import read_token
from jrc.errors import UsageError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretSource, SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.models import user_of_identity
from tests.support.command import Result, run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter, launch_jupyter, shown_on_failure
from tests.support.keyrings import FileKeyring, HangingKeyring, LockedKeyring, keyring_environment
from tests.support.web import Reply, Web

WRONG = "wr0ng-t0ken"


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment()


@pytest.fixture
def profiles(paths: Paths) -> ProfileStore:
    return ProfileStore(paths)


@pytest.fixture(scope="module")
def password_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server that asks for a password, behind a prefix."""
    folder = tmp_path_factory.mktemp("jupyter") / "server"
    server = launch_jupyter(folder, password="open sésame", base_url="/a/team/")
    with shown_on_failure(server):
        yield server


def saved(paths: Paths, name: str) -> str | None:
    found = SecretStore(paths).get(name)
    return found[0].reveal() if found else None


def files_with(text: str) -> list[Path]:
    """The files of jrc that hold a text."""
    home = Path(os.environ["JRC_HOME"])
    return [path for path in home.rglob("*") if path.is_file() and text in path.read_text()]


def test_a_good_token_is_tried_and_saved(
    jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    done = run_jrc("login", jupyter.url, "--profile", "team", "--token-stdin", input=jupyter.token)
    assert (done.code, done.stdout) == (0, ""), done.stderr
    assert profiles.all() == {"team": Profile("team", jupyter.url)}
    assert profiles.default_name() == "team"
    file = SecretStore(paths).file_path
    assert files_with(jupyter.token) == [file]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    version = jupyter.rest("GET", "api")["version"]
    assert done.stderr.splitlines() == [
        f"Found Jupyter Server {version} at {jupyter.url}",
        f"Profile 'team' saved in {profiles.path}",
        f"No keyring here: token saved in {file}, readable only by you.",
        "Next: jrc run FILE",
    ]


def test_the_keyring_takes_the_token_where_there_is_one(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    env = keyring_environment(FileKeyring, tmp_path / "keyring.json")
    done = run_jrc(
        "login", jupyter.url, "--profile", "team", "--token-stdin", input=jupyter.token, env=env
    )
    assert done.code == 0, done.stderr
    assert "Token saved in the keyring (FileKeyring).\n" in done.stderr
    assert json.loads((tmp_path / "keyring.json").read_text()) == {"jrc/team": jupyter.token}
    assert files_with(jupyter.token) == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (LockedKeyring, "The keyring refused (KeyringLocked): token saved in "),
        (HangingKeyring, "The keyring did not answer within 3 s: token saved in "),
    ],
)
def test_a_keyring_that_fails_is_announced(
    jupyter: JupyterServer,
    tmp_path: Path,
    kind: type[LockedKeyring] | type[HangingKeyring],
    why: str,
) -> None:
    env = keyring_environment(kind, tmp_path / "unused")
    done = run_jrc("login", jupyter.url, "--token-stdin", input=jupyter.token, env=env)
    assert done.code == 0, done.stderr
    assert why in done.stderr
    assert jupyter.token not in done.stderr


def test_a_wrong_token_saves_nothing(jupyter: JupyterServer, profiles: ProfileStore) -> None:
    done = run_jrc("login", jupyter.url, "--token-stdin", input=WRONG)
    assert done.code == 4
    assert "error: " in done.stderr
    assert WRONG not in done.stdout + done.stderr
    assert profiles.all() == {}
    assert files_with(WRONG) == []


def test_a_pasted_url_gives_its_token(
    jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    done = run_jrc("login", f"{jupyter.url}lab/tree/x.ipynb?token={jupyter.token}")
    assert done.code == 0, done.stderr
    assert jupyter.token not in done.stderr
    assert profiles.get(None).url == jupyter.url
    assert saved(paths, profiles.get(None).name) == jupyter.token
    assert files_with(jupyter.token) == [SecretStore(paths).file_path]


def test_a_pasted_url_on_standard_input_gives_its_token(
    jupyter: JupyterServer, paths: Paths
) -> None:
    url = f"http://pod-7:8888/tree?token={jupyter.token}\r\n"
    done = run_jrc("login", jupyter.url, "--profile", "team", "--token-stdin", input=url)
    assert done.code == 0, done.stderr
    assert saved(paths, "team") == jupyter.token


def test_a_password_behind_a_prefix_without_a_scheme(
    password_server: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    url = password_server.url.removeprefix("http://").removesuffix("/")
    args = ("login", url, "--profile", "p", "--password-stdin")
    wrong = run_jrc(*args, input="shut\n")
    assert wrong.code == 4
    assert profiles.all() == {}
    done = run_jrc(*args, input="open sésame\n")
    assert done.code == 0, done.stderr
    assert "No keyring here: password saved in " in done.stderr
    assert profiles.get("p") == Profile("p", password_server.url, auth="password")
    assert saved(paths, "p") == "open sésame"
    assert "sésame" not in done.stderr


def test_an_open_server_asks_nothing(
    start_jupyter: StartJupyter, paths: Paths, profiles: ProfileStore
) -> None:
    server = start_jupyter(token="")
    SecretStore(paths).set("o", Secret("of another server"))
    done = run_jrc("login", server.url, "--profile", "o")
    assert done.code == 0, done.stderr
    assert "It asks for no token and no password.\n" in done.stderr
    assert profiles.get("o").auth == "none"
    assert saved(paths, "o") is None


def test_the_environments_token_is_tried_and_not_saved(
    jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    done = run_jrc("login", jupyter.url, env={"JRC_TOKEN": jupyter.token})
    assert done.code == 0, done.stderr
    assert "warning: The token is that of JRC_TOKEN. It is not saved" in done.stderr
    assert jupyter.token not in done.stderr
    assert profiles.get(None).url == jupyter.url
    assert files_with(jupyter.token) == []
    wrong = run_jrc("login", jupyter.url, env={"JRC_TOKEN": WRONG})
    assert wrong.code == 4
    assert "refused the token of JRC_TOKEN." in wrong.stderr


def test_a_given_token_is_saved_and_the_environments_wins(
    jupyter: JupyterServer, paths: Paths
) -> None:
    args = ("login", jupyter.url, "--profile", "team", "--token-stdin")
    done = run_jrc(*args, input=jupyter.token, env={"JRC_TOKEN": WRONG})
    assert done.code == 0, done.stderr
    assert "warning: JRC_TOKEN in the environment wins over the saved one." in done.stderr
    assert saved(paths, "team") == jupyter.token


def test_the_second_profile_is_not_the_default(
    jupyter: JupyterServer, profiles: ProfileStore
) -> None:
    profiles.save(Profile("team", "https://team.org/"), make_default=True)
    done = run_jrc("login", jupyter.url, "--profile", "b", "--token-stdin", input=jupyter.token)
    assert done.code == 0, done.stderr
    assert profiles.default_name() == "team"
    assert done.stderr.endswith("Next: jrc profile use b\n")


def test_a_profile_is_named_after_its_host_and_keeps_the_name(
    jupyter: JupyterServer, profiles: ProfileStore
) -> None:
    host = "127.0.0.1"
    profiles.save(Profile(host, "https://127.0.0.1:1/"), make_default=True)
    for _ in range(2):
        done = run_jrc("login", jupyter.url, "--token-stdin", input=jupyter.token)
        assert done.code == 0, done.stderr
    assert {name: profile.url for name, profile in profiles.all().items()} == {
        host: "https://127.0.0.1:1/",
        f"{host}-2": jupyter.url,
    }


def test_insecure_means_nothing_without_tls(jupyter: JupyterServer, profiles: ProfileStore) -> None:
    done = run_jrc("login", jupyter.url, "--insecure", "--token-stdin", input=jupyter.token)
    assert done.code == 0, done.stderr
    assert "warning" not in done.stderr
    assert profiles.get(None).verify_tls


def test_a_known_profile_needs_no_url(
    jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    profiles.save(Profile("team", jupyter.url, user="ana"), make_default=True)
    done = run_jrc("login", "--profile", "team", "--token-stdin", input=jupyter.token)
    assert done.code == 0, done.stderr
    assert profiles.get("team") == Profile("team", jupyter.url, user="ana")
    assert saved(paths, "team") == jupyter.token


def test_a_profile_that_moves_leaves_its_old_secret_behind(
    jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
) -> None:
    """The token of the old server must never be sent to the new one."""
    profiles.save(Profile("team", "https://old.org/"), make_default=True)
    SecretStore(paths).set("team", Secret("of the old server"))
    done = run_jrc("login", jupyter.url, "--profile", "team", env={"JRC_TOKEN": jupyter.token})
    assert done.code == 0, done.stderr
    assert "'team' was https://old.org/ until now.\n" in done.stderr
    assert SecretStore(paths).sources("team") == []


# What is no Jupyter Server: each has its own sentence.


@contextmanager
def website() -> Iterator[str]:
    page = Reply(body=b"<html><body>It works!</body></html>", content_type="text/html")
    with Web({"/api": page}) as web:
        yield web.url


@contextmanager
def website_without_the_page() -> Iterator[str]:
    with Web({}) as web:
        yield web.url


@contextmanager
def refusing() -> Iterator[str]:
    """A port where nobody listens. Held, so that nobody else begins to."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/"


@contextmanager
def unknown_host() -> Iterator[str]:
    yield "https://jupyter.invalid/"


WRONG_PLACES = (website, website_without_the_page, refusing, unknown_host)


def test_each_wrong_url_has_its_own_sentence_and_saves_nothing(profiles: ProfileStore) -> None:
    sentences = set()
    for place in WRONG_PLACES:
        with place() as url:
            done = run_jrc("login", url, "--token-stdin", input=WRONG)
        assert done.code == 6, done.stderr
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")
        assert WRONG not in done.stderr
        sentences.add(error.replace(url, "URL"))
    assert len(sentences) == len(WRONG_PLACES)
    assert profiles.all() == {}


# What can't be right, before any server is asked.


def refused(*args: str, input: str | None = None) -> Result:
    done = run_jrc("login", *args, input=input)
    assert "Traceback" not in done.stderr
    return done


def test_a_name_that_can_not_be_one() -> None:
    done = refused("http://localhost:1/", "--profile", "a b")
    assert done.code == 2
    assert "error: 'a b' can't name a profile: only letters" in done.stderr


@pytest.mark.parametrize("secret", ["token", "password"])
@pytest.mark.parametrize("text", ["", "\n"])
def test_nothing_on_standard_input(secret: str, text: str) -> None:
    done = refused("http://localhost:1/", f"--{secret}-stdin", input=text)
    assert done.code == 2
    assert done.stderr.startswith(f"error: The {secret} ")
    assert " empty.\n" in done.stderr


@pytest.mark.parametrize("text", ["two words", "t\x07ken", "tökén"])
def test_a_token_that_can_not_be_one(jupyter: JupyterServer, text: str) -> None:
    done = refused(jupyter.url, "--token-stdin", input=text)
    assert done.code == 4
    assert "error: This is not a token" in done.stderr
    assert text not in done.stderr


def test_two_secrets_at_once() -> None:
    done = refused("http://localhost:1/", "--token-stdin", "--password-stdin", input="x")
    assert done.code == 2


def test_nobody_to_ask(jupyter: JupyterServer) -> None:
    without_url = refused()
    assert without_url.code == 3
    assert "hint: Type: jrc login URL" in without_url.stderr
    without_token = refused(jupyter.url)
    assert without_token.code == 3
    assert "hint: Add --token-stdin, or set JRC_TOKEN." in without_token.stderr


def test_help_fits_a_screen_and_has_an_example() -> None:
    shown = run_jrc("login", "--help").stdout
    assert "Example:\n    jrc login " in shown
    assert len(shown.splitlines()) <= 36


def test_a_token_is_itself_or_in_its_url() -> None:
    assert read_token(" abc\n") == Secret("abc")
    assert read_token("http://localhost:8888/lab?token=abc") == Secret("abc")
    with pytest.raises(UsageError, match="This URL carries no token"):
        read_token("http://localhost:8888/lab")


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        ({"identity": {"username": "ana", "display_name": "Ana"}}, "ana"),
        ({"identity": {"username": "7b3c", "display_name": "Anonymous Moon"}}, ""),
        ({"identity": {"username": 3}}, ""),
        ({"identity": None}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_user_whom_a_server_names(answer: object, user: str) -> None:
    assert user_of_identity(answer) == user


if os.name == "posix":
    from tests.support.dialog import Dialog

    def test_a_dialog_asks_for_all_and_shows_no_token(
        jupyter: JupyterServer, paths: Paths, profiles: ProfileStore
    ) -> None:
        with Dialog("login") as dialog:
            dialog.answer("URL of the server: ", jupyter.url)
            dialog.answer("Token (or the URL with it): ", WRONG)
            dialog.expect("error: ")
            dialog.answer("Token (or the URL with it): ", f"{jupyter.url}?token={jupyter.token}")
            assert dialog.end() == 0
        assert jupyter.token not in dialog.shown
        assert WRONG not in dialog.shown
        assert saved(paths, profiles.get(None).name) == jupyter.token

    def test_a_dialog_asks_three_times(jupyter: JupyterServer, profiles: ProfileStore) -> None:
        with Dialog("login", jupyter.url) as dialog:
            for answer in (WRONG, "", WRONG):
                dialog.answer("Token (or the URL with it): ", answer)
            assert dialog.end() == 4
        assert profiles.all() == {}

    def test_a_dialog_asks_for_the_password(password_server: JupyterServer, paths: Paths) -> None:
        with Dialog("login", password_server.url, "--profile", "p") as dialog:
            dialog.answer("Password: ", "shut")
            dialog.expect("refused the password")
            dialog.answer("Password: ", password_server.password)
            assert dialog.end() == 0
        assert "sésame" not in dialog.shown
        found = (Secret(password_server.password), SecretSource.FILE)
        assert SecretStore(paths).get("p") == found

    @pytest.mark.parametrize("key", ["\x03", "\x04"])
    def test_ctrl_c_and_ctrl_d_leave_and_save_nothing(
        jupyter: JupyterServer, profiles: ProfileStore, key: str
    ) -> None:
        with Dialog("login", jupyter.url) as dialog:
            dialog.expect("Token (or the URL with it): ")
            dialog.press(key)
            assert dialog.end() == 130
        assert "Traceback" not in dialog.shown
        assert dialog.shown.endswith("\n")
        assert profiles.all() == {}
