"""The file that ``jrc attach`` saves to, where another computer began the run."""

from pathlib import Path

import pytest

from jrc.profile.model import Profile
from jrc.run.attach import result_file
from jrc.runs.lookup import FoundRun
from jrc.runs.server_runs import RemoteRun

pytestmark = pytest.mark.attacks


@pytest.mark.parametrize(
    ("document", "file"),
    [
        ("a b é.ipynb", "a b é.out.ipynb"),
        ("../../a.ipynb", "a.out.ipynb"),
        (r"..\..\a.ipynb", ".._.._a.out.ipynb"),
        (r"C:a.ipynb", "C_a.out.ipynb"),
        ("\x1b]0;t\x07\n\udce9.ipynb", "_]0;t___.out.ipynb"),
        ("--checkpoint-action=exec=sh a.ipynb", "_-checkpoint-action=exec=sh a.out.ipynb"),
        ("a.py", None),
        ("", None),
    ],
)
def test_a_name_that_others_chose_is_a_file_of_this_folder(document: str, file: str | None) -> None:
    profile = Profile("lab", "http://127.0.0.1/")
    found = FoundRun("0a1b2c3d", profile, None, RemoteRun("0a1b2c3d", document=document))
    assert result_file(found, None) == (file and Path(file))
