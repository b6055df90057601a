"""A profile connected to editors and disconnected, as ``jrc connect --vscode`` will do it."""

import json
import sys
from pathlib import Path

import pytest

from jrc.cli.editor_commands import (
    EditorOptions,
    connect_editors,
    disconnect_editors,
    remove_from_editors,
    rename_in_editors,
)
from jrc.cli.terminal import Terminal
from jrc.editor import editors
from jrc.editor.connect import console_script
from jrc.editor.editors import EXTENSION, EditorCommand
from jrc.editor.jsonc import loads
from jrc.editor.kernelspecs import ServerKernelspec
from jrc.editor.ledger import open_ledger, read_ledger
from jrc.editor.places import application_data, jupyter_data
from jrc.editor.surroundings import here
from jrc.errors import ConfigError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from tests.support.editors import FakeEditor, fake_editor

ML = Profile("ml", "https://jupyter.example/team/")
KERNELS = [
    ServerKernelspec("python3", "Python 3 (ipykernel)", "python", logos={"logo-64x64.png": b"PNG"}),
    ServerKernelspec("ir", "R", "R"),
]
SETTINGS = '// mine\n{\n  "editor.fontSize": 14,\n}\n'
YES = EditorOptions(yes=True)


class Person(Terminal):
    """Somebody at a terminal, who answers what is asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.interactive = bool(answers)
        self.answers = list(answers)
        self.said: list[str] = []
        self.printed: list[str] = []
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")

    def data(self, text: str) -> None:
        self.printed.append(text)

    def ask(self, question: str, *, hidden: bool = False, without: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    @property
    def heard(self) -> str:
        return "\n".join(self.said)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> FakeEditor:
    """VS Code, used before, alone on the search path. The programs of jrc are beside Python."""
    editor = fake_editor(tmp_path / "bin", "code")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    settings(home).parent.mkdir(parents=True)
    settings(home).write_text(SETTINGS)
    return editor


def settings(home: Path) -> Path:
    return application_data(here()) / "Code" / "User" / "settings.json"


def kernels() -> Path:
    return jupyter_data(here()) / "kernels"


def files_under(folder: Path) -> dict[str, bytes]:
    """The content of every file, locks apart."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def connect(person: Person, options: EditorOptions = YES, profile: Profile = ML) -> None:
    connect_editors(profile, KERNELS, options=options, terminal=person)


def test_connect_writes_settings_kernelspecs_and_the_companion(
    code: FakeEditor, home: Path
) -> None:
    person = Person()
    connect(person)
    assert loads(settings(home).read_text()) == {
        "editor.fontSize": 14,
        "jrc.servers": {"ml": {"label": "ml", "url": ML.url, "profile": "ml"}},
        "jrc.path": console_script("jrc"),
        "jrc.home": str(home / "jrc"),
        "jupyter.jupyterLaunchTimeout": 120000,
        "jupyter.disableJupyterAutoStart": True,
    }
    spec = json.loads((kernels() / "jrc-ml-python3" / "kernel.json").read_text("utf-8"))
    assert spec["argv"] == [console_script("jrc-kernel"), "-f", "{connection_file}"]
    assert spec["env"]["JRC_HOME"] == str(home / "jrc")
    assert (kernels() / "jrc-ml-python3" / "logo-64x64.png").read_bytes() == b"PNG"
    (extension,) = code.extensions()
    assert extension.startswith(f"{EXTENSION}@")
    assert f"changed {settings(home)} (VS Code)" in person.said
    assert f"wrote {kernels() / 'jrc-ml-python3'} (Python 3 · ml (jrc))" in person.said
    assert "Reload Window" in person.said[-1]


def test_disconnect_gives_the_same_bytes_and_keeps_the_kernelspecs(
    code: FakeEditor, home: Path
) -> None:
    connect(Person())
    person = Person()
    disconnect_editors("ml", terminal=person)
    assert settings(home).read_text() == SETTINGS
    assert code.extensions() == []
    assert sorted(path.name for path in kernels().iterdir()) == ["jrc-ml-ir", "jrc-ml-python3"]
    assert f"changed {settings(home)} (VS Code)" in person.said
    disconnect_editors("ml", remove_kernelspecs=True, terminal=person)
    assert list(kernels().iterdir()) == []


def test_a_second_connect_says_and_does_nothing_new(code: FakeEditor, home: Path) -> None:
    connect(Person())
    before, calls = files_under(home), len(code.calls)
    person = Person()
    connect(person)
    assert files_under(home) == before
    assert person.said == []
    assert [call[0] for call in code.calls[calls:]] == ["--list-extensions"]


def test_a_dry_run_prints_a_diff_and_touches_nothing(code: FakeEditor, home: Path) -> None:
    before = files_under(home)
    person = Person()
    connect(person, EditorOptions(dry_run=True))
    assert files_under(home) == before
    assert code.extensions() == []
    diff = "\n".join(person.printed)
    assert f"+++ {settings(home)}" in diff
    assert '+  "jrc.servers": {' in diff
    assert "kernel.json" in diff
    assert "would be installed in VS Code" in person.heard
    connect(Person())
    before = files_under(home)
    disconnect_editors("ml", dry_run=True, remove_kernelspecs=True, terminal=person)
    assert files_under(home) == before
    assert '-  "jrc.servers": {' in person.printed


def test_the_companion_is_asked_for_once(code: FakeEditor) -> None:
    refusing = Person("n")
    connect(refusing, EditorOptions())
    assert refusing.asked == ["Install jrc's companion extension in VS Code? [Y/n]"]
    assert code.extensions() == []
    silent = Person("y")
    connect(silent, EditorOptions())
    assert silent.asked == []
    assert "--yes" in silent.heard
    connect(Person(), YES)
    assert len(code.extensions()) == 1


def test_nobody_waits_for_the_answer_or_for_the_editor(
    code: FakeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another jrc can hold the ledger meanwhile."""
    held: list[str] = []

    def hold(when: str) -> None:
        with open_ledger(Paths.from_environment()):
            held.append(when)

    class Slow(Person):
        def ask(self, question: str, *, hidden: bool = False, without: str) -> str:
            hold("question")
            return super().ask(question, hidden=hidden, without=without)

    def while_installing(editor: EditorCommand, profile: str, vsix: Path) -> None:
        hold("installation")
        install(editor, profile, vsix)

    def while_removing(editor: EditorCommand, profile: str) -> None:
        hold("removal")
        uninstall(editor, profile)

    install, uninstall = editors.install, editors.uninstall
    monkeypatch.setattr(editors, "install", while_installing)
    monkeypatch.setattr(editors, "uninstall", while_removing)
    connect(Slow("y"), EditorOptions())
    assert len(code.extensions()) == 1
    disconnect_editors("ml", terminal=Person())
    assert code.extensions() == []
    assert held == ["question", "installation", "removal"]


def test_enter_agrees(code: FakeEditor) -> None:
    connect(Person(""), EditorOptions())
    assert len(code.extensions()) == 1


def test_without_a_terminal_nothing_is_installed_unasked(code: FakeEditor) -> None:
    person = Person()
    connect(person, EditorOptions())
    assert code.extensions() == []
    assert "To install it, add --yes" in person.heard


def test_no_extension_means_none(code: FakeEditor, home: Path) -> None:
    connect(Person(), EditorOptions(extension=False, yes=True))
    assert code.calls == []
    assert "jrc.servers" in settings(home).read_text()


def test_a_companion_that_somebody_else_installed_stays(code: FakeEditor) -> None:
    connect(Person())
    (version,) = code.extensions()
    disconnect_editors("ml", terminal=Person())
    (code.folder / "default").write_text(version)
    connect(Person())
    disconnect_editors("ml", terminal=Person())
    assert code.extensions() == [version]


def test_the_companion_stays_while_another_profile_is_connected(
    code: FakeEditor, home: Path
) -> None:
    connect(Person())
    connect(Person(), profile=Profile("gpu", "http://127.0.0.1:40002/"))
    disconnect_editors("ml", terminal=Person())
    assert len(code.extensions()) == 1
    assert list(_servers(home)) == ["gpu"]
    disconnect_editors("gpu", keep_extension=True, terminal=Person())
    assert len(code.extensions()) == 1
    assert settings(home).read_text() == SETTINGS


def _servers(home: Path) -> dict[str, object]:
    servers = loads(settings(home).read_text())["jrc.servers"]
    assert isinstance(servers, dict)
    return dict(servers)


def test_an_editor_that_refuses_the_companion_is_told_and_the_rest_is_done(
    code: FakeEditor, home: Path
) -> None:
    code.break_with("no room left")
    person = Person()
    connect(person)
    assert "The companion extension is not in VS Code" in person.heard
    assert "no room left" in person.heard
    assert "jrc.servers" in settings(home).read_text()
    assert read_ledger(Paths.from_environment()).installed == []


def test_a_workspace_names_the_server_and_the_person_the_program(
    code: FakeEditor, home: Path, tmp_path: Path
) -> None:
    """VS Code takes the path of a program from no workspace."""
    workspace = tmp_path / "project"
    workspace.mkdir()
    connect(Person(), EditorOptions(yes=True, workspace=workspace))
    shared = loads((workspace / ".vscode" / "settings.json").read_text())
    assert list(shared) == [
        "jrc.servers",
        "jupyter.jupyterLaunchTimeout",
        "jupyter.disableJupyterAutoStart",
    ]
    assert list(loads(settings(home).read_text())) == ["editor.fontSize", "jrc.path", "jrc.home"]
    disconnect_editors("ml", terminal=Person())
    assert list(workspace.iterdir()) == []
    assert settings(home).read_text() == SETTINGS


def test_widgets_are_a_choice(code: FakeEditor, home: Path) -> None:
    connect(Person(), EditorOptions(yes=True, widgets=True))
    sources = loads(settings(home).read_text())["jupyter.widgetScriptSources"]
    assert sources == ["jsdelivr.com", "unpkg.com"]


def test_the_tunnels_own_address_is_shown(code: FakeEditor, home: Path) -> None:
    url = "http://127.0.0.1:40123/team/"
    connect_editors(ML, KERNELS, options=YES, terminal=Person(), url=url)
    assert url in settings(home).read_text()
    assert ML.url not in settings(home).read_text()


def test_one_broken_file_does_not_stop_the_others(code: FakeEditor, home: Path) -> None:
    other = application_data(here()) / "Cursor" / "User" / "settings.json"
    other.parent.mkdir(parents=True)
    other.write_text('{ "a" 1 }')
    person = Person()
    with pytest.raises(ConfigError, match=r"settings\.json: line 1, column 7: a ':' is missing"):
        connect(person)
    assert other.read_text() == '{ "a" 1 }'
    assert "jrc.servers" in settings(home).read_text()
    assert (kernels() / "jrc-ml-ir" / "kernel.json").is_file()


def test_what_somebody_changed_is_kept_and_named(code: FakeEditor, home: Path) -> None:
    connect(Person())
    text = settings(home).read_text().replace("120000", "300000")
    settings(home).write_text(text)
    person = Person()
    disconnect_editors("ml", terminal=person)
    assert "kept there, since it was changed by hand: jupyter.jupyterLaunchTimeout" in person.said
    assert loads(settings(home).read_text()) == {
        "editor.fontSize": 14,
        "jupyter.jupyterLaunchTimeout": 300000,
    }
    assert settings(home).read_text().startswith("// mine\n")


def test_without_any_editor_jupyter_still_gets_the_kernels(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    person = Person()
    connect(person)
    assert (kernels() / "jrc-ml-ir" / "kernel.json").is_file()
    assert "No settings of VS Code or a similar editor were found" in person.heard
    # Without an editor's command the companion can't be installed: that is said, and what to do.
    assert "The companion extension is not installed: no command of an editor" in person.heard
    assert "--no-extension" in person.heard


def test_a_server_without_certificate_checks_is_explained(code: FakeEditor) -> None:
    person = Person()
    connect(person, profile=Profile("ml", ML.url, verify_tls=False))
    assert "jupyter.allowUnauthorizedRemoteConnection" in person.heard


def test_disconnecting_what_was_never_connected_is_silent(home: Path) -> None:
    before = files_under(home)
    person = Person()
    disconnect_editors("ml", terminal=person)
    assert (person.said, files_under(home)) == ([], before)


def test_nothing_that_is_written_holds_a_secret(
    code: FakeEditor, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", "planted-secret")
    connect(Person())
    assert all(b"planted-secret" not in content for content in files_under(home).values())
    assert "planted-secret" not in json.dumps(code.calls)


def test_a_renamed_profile_has_its_new_name_everywhere(code: FakeEditor, home: Path) -> None:
    connect(Person())
    connect(Person(), profile=Profile("other", "http://127.0.0.1:40002/"))
    person = Person()
    rename_in_editors("ml", "gpu", person)
    assert sorted(_servers(home)) == ["gpu", "other"]
    spec = json.loads((kernels() / "jrc-ml-python3" / "kernel.json").read_text("utf-8"))
    assert (spec["display_name"], spec["env"]["JRC_PROFILE"]) == ("Python 3 · gpu (jrc)", "gpu")
    assert (kernels() / "jrc-ml-python3" / "logo-64x64.png").read_bytes() == b"PNG"
    assert person.said == [
        f"changed {settings(home)} (VS Code)",
        f"wrote {kernels() / 'jrc-ml-ir'} (R · gpu (jrc))",
        f"wrote {kernels() / 'jrc-ml-python3'} (Python 3 · gpu (jrc))",
        "Editors show the new name after the command 'Developer: Reload Window'.",
    ]
    before = files_under(kernels())
    connect(Person(), profile=Profile("gpu", ML.url))
    assert files_under(kernels()) == before
    disconnect_editors("gpu", remove_kernelspecs=True, terminal=Person())
    disconnect_editors("other", remove_kernelspecs=True, terminal=Person())
    assert settings(home).read_text() == SETTINGS
    assert list(kernels().iterdir()) == []


def test_a_removed_profile_leaves_nothing(code: FakeEditor, home: Path) -> None:
    connect(Person())
    person = Person()
    remove_from_editors("ml", person)
    assert settings(home).read_text() == SETTINGS
    assert list(kernels().iterdir()) == []
    assert code.extensions() == []
    assert f"removed {kernels() / 'jrc-ml-ir'} (jrc-ml-ir)" in person.said


def test_a_profile_that_was_never_connected_leaves_no_trace(home: Path) -> None:
    before = files_under(home)
    person = Person()
    rename_in_editors("ml", "gpu", person)
    remove_from_editors("ml", person)
    assert (person.said, files_under(home)) == ([], before)
    assert not Paths.from_environment().state.exists()


def test_the_ledger_is_empty_when_all_is_undone(code: FakeEditor) -> None:
    connect(Person())
    disconnect_editors("ml", terminal=Person())
    ledger = read_ledger(Paths.from_environment())
    assert (ledger.settings, ledger.installed) == ({}, [])


def test_programs_are_found_beside_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "jrc.exe" if sys.platform == "win32" else "jrc"
    (tmp_path / name).touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert console_script("jrc") == str(tmp_path / name)
    with pytest.raises(ConfigError, match="The program jrc-nothing is not beside"):
        console_script("jrc-nothing")
