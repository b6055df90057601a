"""What is sent to the kernel is what stands in ``in_kernel``, made short."""

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

from jrc.recorder import install

TOOL = Path(__file__).parents[2] / "tools" / "shorten_recorder.py"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOOL))


def test_what_is_sent_is_made_of_the_modules_as_they_are(tool: dict[str, Any]) -> None:
    """After a change in ``in_kernel``: python tools/shorten_recorder.py."""
    sent, made = ast.parse(install.source()), ast.parse(tool["text"]())
    assert ast.dump(sent) == ast.dump(made), "type: python tools/shorten_recorder.py"


def test_every_module_is_sent(tool: dict[str, Any]) -> None:
    modules = {path.stem for path in (tool["RECORDER"] / "in_kernel").glob("*.py")}
    assert {"__init__", *tool["MODULES"]} == modules


def test_only_what_a_kernel_does_not_need_is_left_out(tool: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in_kernel"
    folder.mkdir()
    (folder / "one.py").write_text(
        '"""What it is for."""\n'
        "from __future__ import annotations\n"
        "import os\n"
        "from typing import Any, NamedTuple\n"
        "from jrc.recorder.in_kernel.other import (\n    that,\n)\n"
        "LIMIT: int = 3\n"
        '"""Of something."""\n'
        "class Pair(NamedTuple):\n"
        '    """Two."""\n'
        "    a: Any\n"
        "    b: int = 0\n"
        "class Odd(ValueError):\n"
        '    """An error."""\n'
    )
    (folder / "two.py").write_text(
        "import os\nimport sys\n"
        "async def wait(a: int, *b: str, c: Any = None, **d: Any) -> Any:\n"
        '    """Wait."""\n'
        "    # A comment.\n"
        "    e: list[int]\n"
        "    f: int = os.getpid()\n"
        "    if f:\n"
        '        g: str = """A\n\n    text."""\n'
        "    def inner() -> None:\n"
        "        pass\n"
        "    return that(a, b, c, d, f, inner)\n"
    )
    make = tool["text"]
    make.__globals__.update(RECORDER=tmp_path, MODULES=("one", "two"))
    assert make() == (
        "from __future__ import annotations\n"
        "import os\n"
        "from typing import Any, NamedTuple\n"
        "LIMIT = 3\n"
        "class Pair(NamedTuple):\n"
        "\ta: Any\n"
        "\tb: int = 0\n"
        "class Odd(ValueError):\n"
        "\tpass\n"
        "async def wait(a, *b, c=None, **d):\n"
        "\tf = os.getpid()\n"
        "\tif f:\n"
        "\t\tg = 'A\\n\\n    text.'\n"
        "\tdef inner():\n"
        "\t\tpass\n"
        "\treturn that(a, b, c, d, f, inner)\n"
    )


def test_the_oldest_python_understands_it() -> None:
    ast.parse(install.source(), feature_version=(3, 8))
