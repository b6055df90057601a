"""Who can read what jrc writes, from the first byte; and what another user left for us."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jrc.cli.run_copies import with_copies
from jrc.cli.run_options import Copies
from jrc.cli.terminal import Terminal
from jrc.errors import ConfigError, JrcError
from jrc.notebook.saving import Saver
from jrc.notebook.writers import Writers
from jrc.profile import files
from jrc.profile.files import locked, real_path, replace_content, rights_of, write_atomically
from jrc.profile.logins import note_login
from jrc.profile.model import Profile
from jrc.profile.paths import Paths, write_crash_log
from jrc.profile.store import ProfileStore
from tests.support.running import Recorder
from tests.support.users import OTHER, second_user

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(os.name == "nt", reason="modes are POSIX"),
]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0, 0o22], ids=["umask 0", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder as ``/tmp`` is."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("before", [0o600, 0o640, 0o644, 0o666])
def test_a_file_that_is_replaced_is_nobody_else_s_while_it_is_written(
    tmp_path: Path, before: int, umask: int
) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    path.chmod(before)
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(2):
            seen.extend(mode(each) for each in tmp_path.iterdir() if each != path)
            yield b"secret" * 10_000

    replace_content(path, chunks())
    assert seen == [0o600, 0o600]
    assert mode(path) == before


@pytest.mark.parametrize(("source", "most"), [(0o600, 0o600), (0o640, 0o640), (0o755, 0o644)])
def test_what_is_made_from_a_file_is_as_private(
    tmp_path: Path, source: int, most: int, umask: int
) -> None:
    document = tmp_path / "a.ipynb"
    document.write_bytes(b"")
    document.chmod(source)
    replace_content(tmp_path / "b", [b"x"], most=rights_of(document))
    assert mode(tmp_path / "b") == most & ~umask


def test_what_is_private_is_so_whatever_it_was(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "new" / "deep" / "a"
    write_atomically(path, "x", private=True)
    path.chmod(0o644)
    write_atomically(path, "y", private=True)
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700


def test_jrc_s_own_files_are_its_user_s(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "home"
    paths = Paths(home / "config", home / "state", home / "logs")
    ProfileStore(paths).save(Profile(name="a", url="http://x/"), make_default=True)
    with locked(paths.state / "deep" / "x"):
        pass
    claim = Writers(paths.state / "writers").claim(tmp_path / "a.ipynb", "0" * 8)
    claim.release(tmp_path / "a.ipynb", finished=True)
    note_login(paths, "a")
    write_crash_log(paths, ValueError())
    made = [*home.rglob("*")]
    assert {mode(each) for each in made if each.is_dir()} == {0o700}
    assert {mode(each) for each in made if each.is_file()} == {0o600}
    assert len([each for each in made if each.is_file()]) >= 6


@second_user
@pytest.mark.parametrize("way", ["{link}", "{link}/x", "../{folder}/{link}"])
def test_another_user_s_link_in_a_shared_folder_is_not_followed(
    tmp_path: Path, shared: Path, way: str
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "x").write_bytes(b"mine")
    link = shared / "result.ipynb"
    link.symlink_to(mine if way.endswith("x") else mine / "x")
    os.lchown(link, OTHER, OTHER)
    os.chown(shared, 0, 0)
    given = shared / way.format(link=link.name, folder=shared.name)
    with pytest.raises(ConfigError, match=r"another user's link, in a folder that everybody"):
        write_atomically(given, "stolen")
    with pytest.raises(ConfigError, match="another user's link"), locked(given):
        pass
    assert (mine / "x").read_bytes() == b"mine"
    assert [each.name for each in mine.iterdir()] == ["x"]


@second_user
def test_what_is_refused_is_named_once_with_a_way_out(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared)
    theirs, ours = Path("out.ipynb"), tmp_path / "ours"
    theirs.symlink_to(tmp_path / "mine")
    os.lchown(theirs, OTHER, OTHER)
    ours.symlink_to(shared / theirs)
    link = "another user's link, in a folder that everybody can write"

    def said(write: Callable[[], object]) -> str:
        with pytest.raises(JrcError) as caught:
            write()
        return f"{caught.value.message} {caught.value.hint}"

    hint = "Choose a folder that only you can write"
    assert (
        said(lambda: write_atomically(theirs, "x"))
        == f"Can't write {theirs}: it is {link}. {hint}."
    )
    whole = shared / theirs
    assert (
        said(lambda: write_atomically(ours, "x"))
        == f"Can't write {ours}: {whole} is {link}. {hint}."
    )
    save = Saver(theirs, dict).save
    assert said(save) == f"Can't write {theirs}: it is {link}. {hint}: -o FOLDER/OTHER.ipynb"
    copies = with_copies(Recorder(), Copies(stdout=whole), Terminal(), 0o600)
    assert said(copies.__enter__) == f"Can't write --stdout-file {whole}: it is {link}. {hint}."


@second_user
def test_a_link_to_such_a_link_is_not_followed_either(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (shared / "theirs").symlink_to(tmp_path / "mine")
    os.lchown(shared / "theirs", OTHER, OTHER)
    (tmp_path / "result").symlink_to(shared / "theirs")
    with pytest.raises(ConfigError, match="another user's link"):
        write_atomically(tmp_path / "result", "stolen")
    assert (tmp_path / "mine").read_bytes() == b"mine"


@second_user
def test_another_user_s_file_in_a_shared_folder_is_not_filled(shared: Path) -> None:
    theirs = shared / "result.ipynb"
    theirs.write_bytes(b"")
    theirs.chmod(0o666)
    os.chown(theirs, OTHER, OTHER)
    with pytest.raises(ConfigError, match="another user's file"):
        write_atomically(theirs, "secret")
    assert theirs.read_bytes() == b""


@second_user
def test_another_user_s_pipe_in_a_shared_folder_gets_nothing(shared: Path) -> None:
    theirs = shared / "pipe"
    os.mkfifo(theirs)
    os.chown(theirs, OTHER, OTHER)
    with pytest.raises(ConfigError, match="another user's file"):
        write_atomically(theirs, "secret")


def test_a_second_name_of_a_file_of_ours_in_a_shared_folder_is_not_written(
    tmp_path: Path, shared: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    os.link(mine, shared / "result.ipynb")
    with pytest.raises(ConfigError, match="has other names"):
        write_atomically(shared / "result.ipynb", "x")
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replaced"])
@pytest.mark.parametrize("plant", [os.link, os.symlink])
def test_a_name_of_a_file_of_ours_that_is_put_there_meanwhile_is_only_a_name(
    tmp_path: Path, shared: Path, before: bytes | None, plant: Callable[[Path, Path], None]
) -> None:
    mine, result = tmp_path / "mine", shared / "result.ipynb"
    mine.write_bytes(b"mine")
    if before is not None:
        result.write_bytes(before)

    def chunks() -> Iterator[bytes]:
        result.unlink(missing_ok=True)
        plant(mine, result)
        yield b"new"

    replace_content(result, chunks())
    assert (mine.read_bytes(), result.read_bytes()) == (b"mine", b"new")
    assert [each.name for each in shared.iterdir()] == ["result.ipynb"]


def in_a_file(path: Path) -> None:
    with files.open_to_write(path, most=0o666) as file:
        file.write("new")


@pytest.fixture(params=[os.link, os.symlink])
def planted(
    request: pytest.FixtureRequest, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A file that gets a second name in a shared folder, behind each look at what is there."""
    mine, look = tmp_path / "mine", files.real_path
    mine.write_bytes(b"mine")

    def planted_behind_the_look(path: Path) -> Path:
        found = look(path)
        found.unlink(missing_ok=True)
        request.param(mine, found)
        return found

    monkeypatch.setattr(files, "real_path", planted_behind_the_look)
    return mine


@pytest.mark.parametrize("write", [in_a_file, partial(write_atomically, data="new")])
@pytest.mark.parametrize("before", ["nothing", "a file", "a pipe"])
def test_a_name_that_is_put_there_behind_the_look_is_not_written_through(
    planted: Path, shared: Path, before: str, write: Callable[[Path], None]
) -> None:
    output = shared / "out"
    if before == "a file":
        output.write_bytes(b"old")
    elif before == "a pipe":
        os.mkfifo(output)
    with pytest.raises((OSError, ConfigError)):
        write(output)
    assert planted.read_bytes() == b"mine"
    assert [each.name for each in shared.iterdir()] == ["out"]


@pytest.mark.parametrize("write", [in_a_file, partial(write_atomically, data="new")])
def test_what_was_no_file_is_not_written_when_it_is_one(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, pipe, look = tmp_path / "mine", tmp_path / "pipe", files._is_file
    mine.write_bytes(b"mine")
    os.mkfifo(pipe)

    def swapped_behind_the_look(path: Path) -> bool:
        found = look(path)
        pipe.unlink()
        pipe.symlink_to(mine)
        return found

    monkeypatch.setattr(files, "_is_file", swapped_behind_the_look)
    with pytest.raises((OSError, ConfigError), match="has taken its place"):
        write(pipe)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("plant", [os.link, os.symlink])
def test_a_file_with_several_names_is_written_over_only_while_it_is_the_same(
    tmp_path: Path, plant: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one takes its place between the last look at it and its opening."""
    mine, result = tmp_path / "mine", tmp_path / "result.ipynb"
    mine.write_bytes(b"mine")
    result.write_bytes(b"old")
    os.link(result, tmp_path / "other")
    write_over = files._write_over

    def swapped(*arguments: Any, **options: Any) -> Any:
        result.unlink()
        plant(mine, result)
        return write_over(*arguments, **options)

    monkeypatch.setattr(files, "_write_over", swapped)
    with pytest.raises(OSError, match="its whole content is in"):
        replace_content(result, [b"new"])
    assert mine.read_bytes() == b"mine"


def test_output_goes_to_what_is_no_file(tmp_path: Path) -> None:
    with files.open_to_write(Path("/dev/null"), most=0o666) as file:
        file.write("x")
    with files.open_to_write(tmp_path / "a", most=0o600) as file:
        file.write("é\n\ud800")
    assert (tmp_path / "a").read_bytes() == "é\n\\ud800".encode()


def test_links_of_ours_are_followed(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "mine").write_bytes(b"")
    (shared / "link").symlink_to(tmp_path / "mine")
    write_atomically(shared / "link", "x")
    assert (tmp_path / "mine").read_bytes() == b"x"
    assert (shared / "link").is_symlink()


@second_user
def test_the_system_s_links_are_followed(tmp_path: Path, shared: Path) -> None:
    """As ``/tmp`` on macOS: the folder's owner may do what it likes anyway."""
    (tmp_path / "mine").write_bytes(b"")
    (shared / "link").symlink_to(tmp_path / "mine")
    os.lchown(shared / "link", OTHER, OTHER)
    os.chown(shared, OTHER, OTHER)
    write_atomically(shared / "link", "x")
    assert (tmp_path / "mine").read_bytes() == b"x"


def test_links_that_end_nowhere_or_never(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b/../c")
    assert real_path(tmp_path / "a") == tmp_path / "c"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(ConfigError, match="too many levels"):
        write_atomically(tmp_path / "round", "x")


def test_a_socket_that_is_ours_is_said_to_be_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(ConfigError, match="Can't write"):
            write_atomically(tmp_path / "s", "x")
