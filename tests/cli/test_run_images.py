"""``--output-image``: what remote code shows, as files."""

import base64
from pathlib import Path

import pytest

from jrc.cli.run_copies import ImageFiles
from jrc.errors import UsageError
from jrc.run.events import CellOutput, Notice
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, profile_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


def shown(data: dict[str, object], display_id: str | None = None) -> CellOutput:
    return CellOutput(0, {"output_type": "display_data", "data": data}, display_id)


def test_a_script_s_images_land_in_a_folder(tmp_path: Path, jupyter: JupyterServer) -> None:
    (tmp_path / "s.py").write_text(
        "from IPython.display import SVG, Image, display\n"
        f"display(Image(data={PNG!r}))\ndisplay('text')\ndisplay(SVG({SVG!r}))\n"
    )
    done = run_jrc(
        "run", "--output-image", "new/figures", "s.py", env=profile_of(jupyter), cwd=tmp_path
    )
    assert done.code == 0, done.stderr
    folder = tmp_path / "new" / "figures"
    assert sorted(path.name for path in folder.iterdir()) == ["1.png", "2.svg"]
    assert (folder / "1.png").read_bytes() == PNG
    assert "<svg" in (folder / "2.svg").read_text()


def test_a_file_name_is_that_of_the_first(tmp_path: Path) -> None:
    listener = Recorder()
    files = ImageFiles(listener, tmp_path / "loss.PNG")
    png = {"image/png": base64.encodebytes(PNG).decode(), "text/plain": "<Figure>"}
    for event in (shown(png), shown({"text/plain": "1"}), shown({"image/svg+xml": [SVG, "\n"]})):
        files.on_event(event)
    files.on_event(shown(png))
    assert len(listener.events) == 4
    names = ["loss-2.svg", "loss-3.png", "loss.PNG"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "loss-2.svg").read_text() == SVG + "\n"


def test_an_update_replaces_the_image(tmp_path: Path) -> None:
    files = ImageFiles(Recorder(), tmp_path)
    for display_id, content in (("a", b"old"), ("b", b"other"), ("a", b"new")):
        files.on_event(shown({"image/png": base64.b64encode(content).decode()}, display_id))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "1.png": b"new",
        "2.png": b"other",
    }


def test_what_is_no_image_and_what_cannot_be_written(tmp_path: Path) -> None:
    listener = Recorder()
    files = ImageFiles(listener, tmp_path / "x")
    files.on_event(shown({"image/png": "%%%"}))
    assert list((tmp_path / "x").iterdir()) == []
    (tmp_path / "x").rmdir()
    (tmp_path / "x").write_text("in the way")
    png = base64.b64encode(PNG).decode()
    files.on_event(shown({"image/png": png}))
    files.on_event(shown({"image/png": png}))
    (notice,) = listener.of(Notice)
    assert "1.png" in notice.text
    with pytest.raises(UsageError, match="Can't make the folder"):
        ImageFiles(listener, tmp_path / "x" / "y")
