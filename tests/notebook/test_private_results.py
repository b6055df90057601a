"""The result of a private document is private, whichever file it gets."""

import os
import stat
from pathlib import Path

import pytest

from jrc.notebook.document import load
from jrc.notebook.result_notebook import Filling
from jrc.notebook.writers import Writers

pytestmark = [pytest.mark.attacks, pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")]


@pytest.mark.parametrize("bits", [0o600, 0o640])
@pytest.mark.parametrize("opened", [False, True])
def test_a_result_is_as_private_as_its_document(tmp_path: Path, bits: int, opened: bool) -> None:
    script = tmp_path / "a.py"
    script.write_text("# %%\nprint(1)\n# %%\n")
    script.chmod(bits)
    output = tmp_path / "a.ipynb"
    filling = Filling(load(script, args=[]), output)
    if opened:
        writers = Writers(tmp_path / "writers")
        filling.open("0" * 8, writers, say=lambda _: None, goes_on=lambda _: False)
    before = os.umask(0)
    try:
        filling.save()
    finally:
        os.umask(before)
        filling.close()
    assert stat.S_IMODE(output.stat().st_mode) == bits
