"""What connecting and disconnecting make of a settings file: what nobody else wrote goes again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.editor import jsonc
from jrc.editor.settings import (
    SERVERS,
    Outcome,
    SettingsRecord,
    WantedSettings,
    connected,
    disconnected,
    record_from_json,
    record_to_json,
    renamed,
)

FILE = """\
\ufeff// Mine\r
{\r
  "editor.fontSize": 14, // big\r
  "jupyter.jupyterLaunchTimeout": 90000,\r
}\r
"""


def wanted(profile: str, path: str = "/bin/jrc") -> WantedSettings:
    entry: jsonc.Json = {"label": profile, "url": f"http://{profile}/", "profile": profile}
    return WantedSettings(
        servers={profile: entry},
        own={"jrc.path": path},
        defaults={"jupyter.jupyterLaunchTimeout": 120000, "jupyter.disableJupyterAutoStart": True},
    )


class File:
    """A settings file with its record, as a ledger would keep it."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.record: SettingsRecord | None = None
        self.left: tuple[str, ...] = ()

    def _take(self, outcome: Outcome) -> None:
        stored = outcome.record and record_to_json(outcome.record)
        self.text, self.left = outcome.text, outcome.left
        self.record = record_from_json(json.loads(json.dumps(stored)))

    def connect(self, profile: str, path: str = "/bin/jrc") -> None:
        self._take(connected(self.text, self.record, profile, wanted(profile, path)))

    def disconnect(self, profile: str) -> None:
        assert self.record is not None
        self._take(disconnected(self.text, self.record, profile))

    def rename(self, old: str, new: str) -> None:
        self._take(renamed(self.text, self.record, old, new))

    @property
    def value(self) -> dict[str, jsonc.Json]:
        assert self.text is not None
        return jsonc.loads(self.text)

    @property
    def servers(self) -> list[str]:
        servers = self.value.get(SERVERS)
        assert isinstance(servers, dict)
        return list(servers)


def test_connecting_adds_what_is_wanted_and_overrides_no_choice() -> None:
    file = File(FILE)
    file.connect("ml")
    assert file.value == {
        "editor.fontSize": 14,
        "jupyter.jupyterLaunchTimeout": 90000,
        SERVERS: {"ml": {"label": "ml", "url": "http://ml/", "profile": "ml"}},
        "jrc.path": "/bin/jrc",
        "jupyter.disableJupyterAutoStart": True,
    }


@pytest.mark.parametrize("text", [FILE, None, "", "{}", "{}\n", "// only words", '{"a": 1}'])
@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]])
def test_disconnecting_all_gives_the_same_bytes(text: str | None, order: list[str]) -> None:
    file = File(text)
    for profile in ("a", "b", "c", "a"):
        file.connect(profile)
    for profile in order:
        file.disconnect(profile)
    assert (file.text, file.record) == (text, None)


def test_disconnecting_one_of_two_is_as_if_it_had_never_been_there() -> None:
    file, alone = File(FILE), File(FILE)
    file.connect("a")
    file.connect("b")
    file.disconnect("a")
    alone.connect("b")
    assert (file.text, file.record) == (alone.text, alone.record)


@pytest.mark.parametrize("text", [FILE, None, "{}", "// only words"])
def test_a_renamed_profile_is_as_if_it_had_always_been_called_so(text: str | None) -> None:
    file = File(text)
    file.connect("other")
    file.connect("ml")
    file.rename("ml", "gpu")
    assert file.servers == ["other", "gpu"]
    assert file.value[SERVERS] == {
        "other": {"label": "other", "url": "http://other/", "profile": "other"},
        "gpu": {"label": "gpu", "url": "http://ml/", "profile": "gpu"},
    }
    file.disconnect("gpu")
    file.disconnect("other")
    assert (file.text, file.record) == (text, None)


def test_a_profile_is_renamed_in_a_file_that_somebody_edited() -> None:
    file = File(FILE)
    file.connect("ml")
    assert file.text is not None
    file.text = file.text.replace("// big", "// bigger").replace("true", "false")
    file.rename("ml", "gpu")
    assert "// bigger" in file.text
    assert file.servers == ["gpu"]
    file.disconnect("gpu")
    assert file.value == {
        "editor.fontSize": 14,
        "jupyter.jupyterLaunchTimeout": 90000,
        "jupyter.disableJupyterAutoStart": False,
    }


def test_a_new_name_replaces_what_an_earlier_profile_of_that_name_left() -> None:
    file = File(FILE)
    file.connect("gpu")
    file.connect("ml")
    file.rename("ml", "gpu")
    assert file.servers == ["gpu"]
    file.disconnect("gpu")
    assert (file.text, file.record) == (FILE, None)


def test_renaming_what_is_not_connected_changes_nothing() -> None:
    file = File(FILE)
    file.rename("ml", "gpu")
    assert (file.text, file.record) == (FILE, None)
    file.connect("other")
    once = file.text, file.record
    file.rename("ml", "gpu")
    assert (file.text, file.record) == once


def test_connecting_again_changes_nothing() -> None:
    file = File(FILE)
    file.connect("a")
    once = file.text, file.record
    file.connect("a")
    assert (file.text, file.record) == once


def test_a_moved_program_is_moved_for_every_profile() -> None:
    file = File(FILE)
    file.connect("a", "/old/jrc")
    file.connect("b", "/new/jrc")
    assert file.value["jrc.path"] == "/new/jrc"
    file.connect("a", "/newer/jrc")
    assert file.value["jrc.path"] == "/newer/jrc"


def edited(file: File, key: str, value: jsonc.Json) -> None:
    """Somebody else changes a setting."""
    assert file.text is not None
    file.text = jsonc.set_value(file.text, (key,), value)


def test_where_somebody_edited_keys_go_one_by_one() -> None:
    file = File(FILE)
    file.connect("ml")
    edited(file, "editor.fontSize", 20)
    file.disconnect("ml")
    assert file.text == FILE.replace("14", "20")
    assert file.record is None


def test_a_default_that_somebody_changed_is_left_and_named() -> None:
    file = File(FILE)
    file.connect("ml")
    edited(file, "jupyter.disableJupyterAutoStart", False)
    file.disconnect("ml")
    assert file.left == ("jupyter.disableJupyterAutoStart",)
    assert file.value == {
        "editor.fontSize": 14,
        "jupyter.jupyterLaunchTimeout": 90000,
        "jupyter.disableJupyterAutoStart": False,
    }


def test_a_value_from_before_jrc_comes_back_though_somebody_edited() -> None:
    file = File('{"jrc.path": "/their/jrc", "a": 1}')
    file.connect("ml")
    assert file.value["jrc.path"] == "/bin/jrc"
    edited(file, "a", 2)
    file.disconnect("ml")
    assert file.value == {"jrc.path": "/their/jrc", "a": 2}


def test_an_edit_between_two_connects_belongs_to_the_person() -> None:
    file = File(FILE)
    file.connect("a")
    edited(file, "editor.fontSize", 20)
    file.connect("b")
    file.disconnect("a")
    file.disconnect("b")
    assert file.text == FILE.replace("14", "20")


def test_edits_with_another_profile_still_connected() -> None:
    file = File(FILE)
    file.connect("a")
    file.connect("b")
    edited(file, "editor.fontSize", 20)
    file.disconnect("a")
    assert file.servers == ["b"]
    assert file.value["jrc.path"] == "/bin/jrc"
    file.disconnect("b")
    assert file.text == FILE.replace("14", "20")


def test_entries_of_others_in_our_setting_stay() -> None:
    file = File(None)
    file.connect("ml")
    assert file.text is not None
    file.text = jsonc.set_value(file.text, (SERVERS, "hand"), {"profile": "hand"})
    file.disconnect("ml")
    assert file.value == {SERVERS: {"hand": {"profile": "hand"}}}


def test_a_file_that_somebody_removed_stays_removed() -> None:
    file = File(FILE)
    file.connect("ml")
    file.text = None
    file.disconnect("ml")
    assert (file.text, file.record) == (None, None)


def test_a_connect_that_was_stopped_before_its_write_is_undone() -> None:
    outcome = connected(FILE, None, "ml", wanted("ml"))
    assert outcome.record is not None
    assert disconnected(FILE, outcome.record, "ml") == Outcome(FILE, None)


def test_a_profile_that_is_not_connected_changes_nothing() -> None:
    file = File(FILE)
    file.connect("a")
    assert file.record is not None
    assert disconnected(file.text, file.record, "b") == Outcome(file.text, file.record)
    assert disconnected(FILE, None, "b") == Outcome(FILE, None)


@pytest.mark.parametrize("stored", [None, 1, {}, {"original": 1, "written": ""}, {"original": ""}])
def test_a_record_of_another_shape_is_none(stored: jsonc.Json) -> None:
    assert record_from_json(stored) is None


steps = st.lists(
    st.tuples(st.sampled_from(["connect", "disconnect"]), st.sampled_from(["a", "b", "c"]))
    | st.tuples(st.just("edit"), st.sampled_from(["editor.fontSize", "x", "y"])),
    max_size=8,
)


@given(steps, st.sampled_from([FILE, None, "{ }", '{"x": 1, /* c */ "y": [ ],}']))
def test_whatever_happens_only_edits_of_others_remain(
    steps: list[tuple[str, str]], text: str | None
) -> None:
    """Against a plain dict that gets the same edits and nothing else."""
    file, model, edits = File(text), jsonc.loads(text or ""), 0
    for act, what in steps:
        if act == "connect":
            file.connect(what)
        elif act == "disconnect" and file.record:
            file.disconnect(what)
        elif act == "edit":
            edits += 1
            model[what] = edits
            file.text = jsonc.set_value(file.text or "", (what,), edits)
    for profile in ("a", "b", "c"):
        if file.record:
            file.disconnect(profile)
    assert file.record is None
    assert jsonc.loads(file.text or "") == model
    if not edits:
        assert file.text == text
