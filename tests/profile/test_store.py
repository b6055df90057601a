"""config.toml: read, changed by several at once, and never harmed."""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrc.errors import ConfigError, NotFoundError, UsageError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
URLS = st.from_regex(r"https?://[a-z0-9.-]{1,40}(:[1-9][0-9]{0,3})?/([!-~]{1,9}/)?", fullmatch=True)
URLS = URLS.filter(lambda url: "?" not in url and "#" not in url)

HAND_WRITTEN = """\
# The servers of the team.

default = "team"   # the fast one

# Ask Ana for a token.
[profiles.team]
url = "https://team.org/"  # behind the VPN
note = "kept"

# On the big machine
[profiles."gpu.2"]
auth = 'password'
url = "https://gpu.org/prefix/"
[profiles."gpu.2".elsewhere]
namespace = "n"  # ours

[editor]
colour = 1
"""


@pytest.fixture
def profiles() -> ProfileStore:
    return ProfileStore(Paths.from_environment())


@pytest.fixture
def written(profiles: ProfileStore) -> ProfileStore:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text(HAND_WRITTEN)
    return profiles


def test_without_a_file_there_is_nothing(profiles: ProfileStore) -> None:
    assert profiles.all() == {}
    assert profiles.default_name() is None
    assert profiles.find(None) is None
    assert profiles.find("x") is None
    assert not profiles.path.parent.exists()


def test_a_hand_written_file_is_read(written: ProfileStore) -> None:
    assert written.all() == {
        "team": Profile("team", "https://team.org/"),
        "gpu.2": Profile("gpu.2", "https://gpu.org/prefix/", auth="password"),
    }
    assert written.default_name() == "team"


def test_what_is_saved_is_found_again(profiles: ProfileStore) -> None:
    first = Profile("a", "https://a/", auth="none", user="Ana Á", verify_tls=False)
    second = Profile("b.c", "http://localhost:1/", kind="gateway")
    profiles.save(first, make_default=True)
    profiles.save(second, make_default=False)
    assert profiles.all() == {"a": first, "b.c": second}
    assert profiles.get(None) == first
    assert profiles.get("b.c") == second


def test_saving_again_takes_back_what_is_default_now(profiles: ProfileStore) -> None:
    profiles.save(Profile("a", "https://a/", user="x", verify_tls=False), make_default=True)
    profiles.save(Profile("a", "https://b/"), make_default=True)
    assert profiles.all() == {"a": Profile("a", "https://b/")}


def test_only_the_changed_line_of_a_hand_written_file_changes(written: ProfileStore) -> None:
    written.save(Profile("team", "https://new.org/"), make_default=False)
    after = written.path.read_text()
    for line in HAND_WRITTEN.splitlines():
        assert line.replace("https://team.org/", "https://new.org/") in after.splitlines()
    assert tomllib.loads(after)["profiles"]["team"]["note"] == "kept"


def test_a_new_profile_is_added_and_all_comments_stay(written: ProfileStore) -> None:
    written.save(Profile("new", "https://new.org/"), make_default=True)
    after = written.path.read_text()
    for comment in re.findall("#.*", HAND_WRITTEN):
        assert comment in after
    before = tomllib.loads(HAND_WRITTEN)
    before["default"] = "new"
    before["profiles"]["new"] = Profile("new", "https://new.org/").to_table()
    assert tomllib.loads(after) == before


def test_an_unchanged_profile_leaves_the_file_untouched(written: ProfileStore) -> None:
    profile = Profile("team", "https://team.org/")
    written.save(profile, make_default=True)
    before = written.path.stat()
    written.save(profile, make_default=True)
    assert written.path.stat().st_mtime_ns == before.st_mtime_ns


def test_use_changes_the_default_and_its_comment_stays(written: ProfileStore) -> None:
    written.use("gpu.2")
    expected = HAND_WRITTEN.replace('default = "team"', 'default = "gpu.2"')
    assert written.path.read_text() == expected


def test_rename_changes_the_names_in_place(written: ProfileStore) -> None:
    written.rename("gpu.2", "big")
    written.rename("team", "our.team")
    assert written.path.read_text() == (
        HAND_WRITTEN.replace('profiles."gpu.2"', "profiles.big")
        .replace("profiles.team", 'profiles."our.team"')
        .replace('default = "team"', 'default = "our.team"')
    )


def test_rename_of_a_layout_without_headers(profiles: ProfileStore) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text('[profiles]\na = {url = "https://a/"}  # here\n')
    profiles.rename("a", "b")
    assert profiles.all() == {"b": Profile("b", "https://a/")}
    assert "# here" in profiles.path.read_text()


def test_remove_takes_the_tables_and_the_default(written: ProfileStore) -> None:
    written.remove("team")
    after = tomllib.loads(written.path.read_text())
    assert after == {
        "profiles": {"gpu.2": tomllib.loads(HAND_WRITTEN)["profiles"]["gpu.2"]},
        "editor": {"colour": 1},
    }
    written.remove("gpu.2")
    assert tomllib.loads(written.path.read_text()) == {"editor": {"colour": 1}}
    assert "# The servers of the team." in written.path.read_text()


def test_the_only_profile_is_the_default(profiles: ProfileStore) -> None:
    profiles.save(Profile("a", "https://a/"), make_default=False)
    assert profiles.default_name() == "a"
    profiles.save(Profile("b", "https://b/"), make_default=False)
    assert profiles.default_name() is None
    assert profiles.find(None) is None
    with pytest.raises(ConfigError, match=r"No profile is the default\. Saved: a, b"):
        profiles.get(None)


def test_the_environment_chooses_before_the_default(
    written: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_PROFILE", "gpu.2")
    assert written.get(None).name == "gpu.2"
    assert written.get("team").name == "team"


def test_a_typo_in_the_environment_is_never_taken_for_no_choice(
    written: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_PROFILE", "taem")
    with pytest.raises(NotFoundError, match=r"'taem' \(named by JRC_PROFILE\)\. Saved: team"):
        written.find(None)


def test_a_default_that_does_not_exist_is_named(profiles: ProfileStore) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text('default = "gone"\n')
    with pytest.raises(NotFoundError, match=r"'gone' \(the default in .*config\.toml\)"):
        profiles.find(None)


def test_what_does_not_exist_is_named_with_what_does(written: ProfileStore) -> None:
    for act in (
        lambda: written.get("x"),
        lambda: written.use("x"),
        lambda: written.rename("x", "y"),
        lambda: written.remove("x"),
    ):
        with pytest.raises(NotFoundError, match=r"no profile 'x'\. Saved: team, gpu\.2"):
            act()
    assert written.path.read_text() == HAND_WRITTEN


def test_the_first_step_is_said_where_nothing_is_saved(profiles: ProfileStore) -> None:
    for name, kind in (("x", NotFoundError), (None, ConfigError)):
        with pytest.raises(kind, match="o server is saved yet") as caught:
            profiles.get(name)
        assert caught.value.hint == "Type: jrc login URL"


def test_rename_to_what_exists_or_can_not_be_a_name_is_refused(written: ProfileStore) -> None:
    with pytest.raises(UsageError, match="There is a profile 'team' already"):
        written.rename("gpu.2", "team")
    with pytest.raises(UsageError, match="can't name a profile"):
        written.rename("gpu.2", "-x")
    assert written.path.read_text() == HAND_WRITTEN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[profiles\n", "It is not valid TOML"),
        (b"profiles = 3\n", "Its profiles are not tables"),
        (b"default = 3\n[profiles.a]\nurl='https://a/'\n", "Its default is not the name"),
        (b"[profiles.a]\n", "Profile 'a' has no url"),
        (b"# \xff\n", "is not UTF-8 text (byte 2)"),
    ],
)
def test_a_broken_file_is_named_and_left_alone(
    profiles: ProfileStore, content: bytes, message: str
) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_bytes(content)
    read = profiles.default_name if b"default" in content else profiles.all
    with pytest.raises(ConfigError) as caught:
        read()
    assert message in caught.value.message
    assert str(profiles.path) in caught.value.message
    assert profiles.path.read_bytes() == content


@pytest.mark.parametrize("content", ["[profiles\n", "profiles = 3\n", "[[profiles]]\nx=1\n"])
def test_a_broken_file_is_never_written(profiles: ProfileStore, content: str) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        profiles.save(Profile("a", "https://a/"), make_default=True)
    assert profiles.path.read_text() == content


def test_a_layout_that_can_not_be_edited_is_left_alone(profiles: ProfileStore) -> None:
    """tomlkit would put the new table among the dotted keys and so change their meaning."""
    content = 'profiles.a.url = "https://a/"\nprofiles.b.url = "https://b/"\n'
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text(content)
    with pytest.raises(ConfigError, match="laid out in a way") as caught:
        profiles.save(Profile("c", "https://c/"), make_default=False)
    assert caught.value.hint == "Give every profile a table of its own: [profiles.NAME]."
    assert profiles.path.read_text() == content


def test_one_broken_profile_can_be_removed(profiles: ProfileStore) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text('[profiles.bad]\nurl = 3\n\n[profiles.a]\nurl = "https://a/"\n')
    profiles.remove("bad")
    assert profiles.all() == {"a": Profile("a", "https://a/")}


def test_a_value_in_the_place_of_a_profile_is_replaced(profiles: ProfileStore) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_text("[profiles]\na = 3\n")
    profiles.save(Profile("a", "https://a/"), make_default=False)
    assert profiles.all() == {"a": Profile("a", "https://a/")}


def test_a_file_from_windows_keeps_its_line_ends(profiles: ProfileStore) -> None:
    profiles.path.parent.mkdir(parents=True)
    profiles.path.write_bytes(b"\xef\xbb\xbf" + HAND_WRITTEN.replace("\n", "\r\n").encode())
    profiles.use("gpu.2")
    expected = HAND_WRITTEN.replace('default = "team"', 'default = "gpu.2"')
    assert profiles.path.read_bytes() == expected.replace("\n", "\r\n").encode()


def test_the_secret_is_no_key_of_a_profile(profiles: ProfileStore) -> None:
    profiles.save(Profile("a", "https://a/"), make_default=True)
    assert set(tomllib.loads(profiles.path.read_text())["profiles"]["a"]) == {"url", "kind", "auth"}


if os.name == "posix":

    def test_the_folder_is_the_owners_only(profiles: ProfileStore) -> None:
        profiles.save(Profile("a", "https://a/"), make_default=True)
        assert profiles.path.parent.stat().st_mode & 0o777 == 0o700

    def test_a_linked_file_stays_linked(profiles: ProfileStore, tmp_path: Path) -> None:
        """People keep their configuration in a repository of dotfiles."""
        dotfile = tmp_path / "config.toml"
        dotfile.write_text(HAND_WRITTEN)
        profiles.path.parent.mkdir(parents=True)
        profiles.path.symlink_to(dotfile)
        profiles.use("gpu.2")
        assert profiles.path.is_symlink()
        assert 'default = "gpu.2"' in dotfile.read_text()


SAVE_SOME = """
import sys
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

store = ProfileStore(Paths.from_environment())
for number in range(8):
    name = f"{sys.argv[1]}-{number}"
    store.save(Profile(name, f"https://{name}/"), make_default=number % 2 == 0)
    if number % 4 == 3:
        store.rename(name, f"{name}.renamed")
"""


def test_processes_that_save_at_once_lose_nothing(profiles: ProfileStore) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", SAVE_SOME, letter]) for letter in "abcd"]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0, 0]
    expected = {
        f"{letter}-{number}{'.renamed' if number % 4 == 3 else ''}"
        for letter in "abcd"
        for number in range(8)
    }
    assert set(profiles.all()) == expected
    assert profiles.default_name() in expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(URLS, st.text()), min_size=1, max_size=4), st.data())
def test_any_profiles_survive_the_file(
    tables: dict[str, tuple[str, str]], data: st.DataObject
) -> None:
    """Saved, renamed and removed beside hand-written ones, whatever the names."""
    with TemporaryDirectory() as folder:
        profiles = ProfileStore(Paths(Path(folder), Path(folder), Path(folder)))
        profiles.path.write_text(HAND_WRITTEN)
        expected = profiles.all()
        for name, (url, user) in tables.items():
            expected[name] = Profile(name, url, user=user)
            profiles.save(expected[name], make_default=True)
        assert profiles.all() == expected
        assert profiles.default_name() == name
        for comment in re.findall("#.*", HAND_WRITTEN):
            assert comment in profiles.path.read_text()

        old = data.draw(st.sampled_from(sorted(expected)))
        new = data.draw(NAMES.filter(lambda name: name not in expected))
        expected[new] = replace(expected.pop(old), name=new)
        profiles.rename(old, new)
        assert profiles.all() == expected
        assert profiles.default_name() == (new if name == old else name)

        for name in list(expected):
            profiles.remove(name)
        assert tomllib.loads(profiles.path.read_text()) == {"editor": {"colour": 1}}


@settings(deadline=None)
@given(st.text(alphabet="ab[]=.\"'# \n#{}1profiles"))
def test_any_file_is_read_or_refused(text: str) -> None:
    with TemporaryDirectory() as folder:
        profiles = ProfileStore(Paths(Path(folder), Path(folder), Path(folder)))
        profiles.path.write_text(text, newline="")
        with suppress(ConfigError):
            profiles.all()
        with suppress(ConfigError):
            profiles.save(Profile("x", "https://x/"), make_default=True)
            assert profiles.path.read_text()
