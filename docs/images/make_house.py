"""Draw house.svg: the rooms of jrc on their floors, and which imports which.

    python docs/images/make_house.py

The floors come from the contract in pyproject.toml, the arrows from the imports in src/, the words
from the first line of each room. An arrow that follows from others is left out, and so are those to
the ground floor: every room may use its modules. Needs Python alone.
"""

import ast
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "jrc"
TARGET = Path(__file__).with_name("house.svg")

WIDTH = 960
BOX = (270, 84)
GAP = 44
GROUND_LINE = 20
LETTERS = 36
"""Of a room's purpose, in one line of its box."""

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #57606a }
  .name { font: 600 15px ui-monospace, monospace; fill: #1f2328 }
  rect { fill: #f6f8fa; stroke: #d0d7de }
  path { fill: none; stroke: #8c959f; stroke-width: 1.4 }
  #tip path { fill: #8c959f; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .name { fill: #f0f6fc }
    rect { fill: #151b23; stroke: #3d444d }
    path { stroke: #656c76 } #tip path { fill: #656c76 }
  }
"""


class Room(NamedTuple):
    """Where a room stands in the drawing: the left upper corner of its box, in pixels."""

    name: str
    x: float
    y: float


def main() -> None:
    TARGET.write_text(drawing(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}", file=sys.stderr)


def drawing() -> str:
    """The drawing as SVG."""
    *floors, ground = floors_of(ROOT / "pyproject.toml")
    rooms = {room.name: room for room in places(floors)}
    arrows = sorted(edge for edge in without_implied(imports()) if edge[1] in rooms)
    bottom = len(floors) * (BOX[1] + GAP) + 10
    height = bottom + GROUND_LINE * len(ground) + 32
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>The rooms of jrc: arrows are imports, and go down only</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
            *(arrow(rooms[upper], rooms[lower], arrows, rooms) for upper, lower in arrows),
            *(line for room in rooms.values() for line in box(room)),
            *ground_floor(ground, bottom),
            "</svg>\n",
        ]
    )


def floors_of(pyproject: Path) -> Iterator[list[str]]:
    """The rooms of each floor, from the top."""
    contracts = tomllib.loads(pyproject.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    for layer in layers:
        yield [room.strip() for room in layer.split("|")]


def places(floors: list[list[str]]) -> Iterator[Room]:
    for number, names in enumerate(floors):
        step = WIDTH / len(names)
        for column, name in enumerate(names):
            x = step * (column + 0.5) - BOX[0] / 2
            yield Room(name, x, 10 + number * (BOX[1] + GAP))


def imports() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room.startswith("__"):
            continue
        of_room = found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "jrc":
                of_room.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jrc."):
                of_room.add((node.module or "").split(".")[1])
        of_room.discard(room)
    return found


def without_implied(below: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The arrows that no longer way stands for."""

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(each) for each in below.get(room, ())))

    for upper, lowers in below.items():
        for lower in lowers:
            others = (reached(each) for each in lowers if each != lower)
            if not any(lower in each for each in others):
                yield upper, lower


def arrow(upper: Room, lower: Room, arrows: list[tuple[str, str]], rooms: dict[str, Room]) -> str:
    """From the lower edge of one box to the upper edge of another."""
    begin = upper.x + slot([b for a, b in arrows if a == upper.name], lower.name, rooms)
    end = lower.x + slot([a for a, b in arrows if b == lower.name], upper.name, rooms)
    top, bottom = upper.y + BOX[1], lower.y - 2
    bend = max(30.0, (bottom - top) / 2.5)
    return (
        f'<path marker-end="url(#tip)" d="M{begin:.0f},{top:.0f} '
        f'C{begin:.0f},{top + bend:.0f} {end:.0f},{bottom - bend:.0f} {end:.0f},{bottom:.0f}"/>'
    )


def slot(others: list[str], other: str, rooms: dict[str, Room]) -> float:
    """Where on an edge an arrow begins: side by side, in the order of where they lead."""
    order = sorted(others, key=lambda name: rooms[name].x)
    return BOX[0] * (order.index(other) + 1) / (len(order) + 1)


def box(room: Room) -> Iterator[str]:
    yield f'<rect x="{room.x:.0f}" y="{room.y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>'
    yield f'<text class="name" x="{room.x + 14:.0f}" y="{room.y + 24:.0f}">{room.name}</text>'
    lines = textwrap.wrap(purpose(room.name), LETTERS, max_lines=3, placeholder=" …")
    for number, line in enumerate(lines):
        y = room.y + 43 + 16 * number
        yield f'<text x="{room.x + 14:.0f}" y="{y:.0f}">{escape(line)}</text>'


def ground_floor(names: list[str], y: float) -> Iterator[str]:
    """One wide box for the modules that all rooms stand on."""
    x, width = 20, WIDTH - 40
    height = GROUND_LINE * len(names) + 16
    yield f'<rect x="{x}" y="{y:.0f}" width="{width}" height="{height}" rx="8"/>'
    for number, name in enumerate(names):
        line = y + 24 + GROUND_LINE * number
        yield f'<text class="name" x="{x + 14}" y="{line:.0f}">{name}</text>'
        yield f'<text x="{x + 110}" y="{line:.0f}">{escape(purpose(name))}</text>'


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    folder = SOURCE / room
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".").replace("``", "")


if __name__ == "__main__":
    main()
