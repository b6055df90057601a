"""Draw run.svg: what a terminal shows of the README's first command, as it really runs.

    python docs/images/make.py

Needs rich, and jrc installed with its extra ``server``.
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
COMMAND = ["run", "examples/quickstart.ipynb"]
WIDTH = 92


def main() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jrc", *COMMAND],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=True,
    )
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.assemble(("$ ", "green"), " ".join(["jrc", *COMMAND])))
    for line in done.stdout.replace("\n ", "\n\xa0").splitlines():
        console.print(Text(line, style="dim" if line.startswith(("jrc:", "[")) else ""))
    target = Path(__file__).with_name("run.svg")
    target.write_text(svg_without_fonts(console.export_svg(title="jrc")), encoding="utf-8")
    (ROOT / "examples" / "quickstart.out.ipynb").unlink()


def svg_without_fonts(svg: str) -> str:
    """The drawing with the reader's own monospace font instead of one from the network."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg)
    return svg.replace("Fira Code, monospace", "monospace")


if __name__ == "__main__":
    main()
