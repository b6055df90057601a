"""Widgets as lines of text: pure. Progress bars as tqdm draws them, for those who see no browser.

Source: ipywidgets ``jupyterwidgetmodels.latest.md``; tqdm ``notebook.py``.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jrc.wire.message import Message

VIEW_MIMETYPE = "application/vnd.jupyter.widget-view+json"

_REFERENCE = "IPY_MODEL_"
_BAR = 10
_MOST_PARTS = 100
"""Widgets of one view that are looked at: a server may nest them without an end."""

_MOST_CHARACTERS = 2000
_KEPT = {"_model_name", "children", "value", "min", "max", "description", "layout"} | {
    "display",
    "visibility",
}
"""What a text needs of a widget's state."""

_TAG = re.compile(r"<[^<>]{0,200}>")


class View(NamedTuple):
    """What a displayed widget looks like now.

    Attributes:
        cell: index of the cell that displays it.
        model_id: of the widget.
        text: a line; empty for what has no text.
    """

    cell: int
    model_id: str
    text: str


class WidgetTexts:
    """The widgets that the cells of one run display."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, Any]] = {}
        self._cells: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._parts: dict[str, set[str]] = {}

    def heard(self, cell: int, message: Message) -> list[View]:
        """Take in a published message; returns what looks different now."""
        content = message.content_fields
        if message.msg_type == "display_data":
            return self._displayed(cell, content.get("data"))
        if not message.msg_type.startswith("comm"):
            return []
        comm_id, data = str(content.get("comm_id", "")), content.get("data")
        if message.msg_type == "comm_close":
            self._states.pop(comm_id, None)
        else:
            state = data.get("state") if isinstance(data, dict) else None
            if not isinstance(state, dict):
                return []
            known = self._states.setdefault(comm_id, {})
            known.update({key: value for key, value in state.items() if key in _KEPT})
        return self._changed(self._parts.get(comm_id, ()))

    def finished(self, cell: int) -> None:
        """The cell is done: what its widgets look like from now on is nobody's concern."""
        for model_id in [each for each, of in self._cells.items() if of == cell]:
            del self._cells[model_id]
            self._texts.pop(model_id, None)
            for views in self._parts.values():
                views.discard(model_id)
        self._parts = {part: views for part, views in self._parts.items() if views}

    def _displayed(self, cell: int, data: object) -> list[View]:
        view = data.get(VIEW_MIMETYPE) if isinstance(data, dict) else None
        model_id = view.get("model_id") if isinstance(view, dict) else None
        if not isinstance(model_id, str):
            return []
        self._cells[model_id] = cell
        return self._changed([model_id])

    def _changed(self, views: Any) -> list[View]:
        changed = []
        for model_id in list(views):
            text = self._text(model_id, model_id, iter(range(_MOST_PARTS))).strip()
            if text != self._texts.get(model_id, ""):
                self._texts[model_id] = text
                changed.append(View(self._cells[model_id], model_id, text))
        return changed

    def _text(self, comm_id: str, view: str, budget: Iterator[int]) -> str:
        if next(budget, None) is None:
            return ""
        self._parts.setdefault(comm_id, set()).add(view)
        state = self._states.get(comm_id)
        if state is None or self._is_hidden(state, view):
            return ""
        children = state.get("children")
        if isinstance(children, list):
            texts = (
                self._text(str(child).removeprefix(_REFERENCE), view, budget)
                for child in children[:_MOST_PARTS]
            )
            return "".join(texts)[:_MOST_CHARACTERS]
        description = _plain(state.get("description"))
        name = str(state.get("_model_name", ""))
        if "Progress" in name:
            return f"{description}{_bar(state)}"
        value = state.get("value")
        if name in ("HTMLModel", "LabelModel", "HTMLMathModel") and isinstance(value, str):
            return f"{description}{_plain(value)}"
        return ""

    def _is_hidden(self, state: dict[str, Any], view: str) -> bool:
        layout_id = str(state.get("layout", "")).removeprefix(_REFERENCE)
        self._parts.setdefault(layout_id, set()).add(view)
        layout = self._states.get(layout_id, {})
        return layout.get("display") == "none" or layout.get("visibility") == "hidden"


def _bar(state: dict[str, Any]) -> str:
    """The bar alone: tqdm has the numbers beside it."""
    try:
        low, high = float(state.get("min", 0)), float(state.get("max", 100))
        part = (float(state.get("value", 0)) - low) / (high - low)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        part = 0.0
    full = int(_BAR * min(max(part, 0), 1)) if part == part else 0
    return f"|{'█' * full}{' ' * (_BAR - full)}|"


def _plain(value: object) -> str:
    """A caption without its tags."""
    from html import unescape

    try:
        return unescape(_TAG.sub("", str(value or "")[:_MOST_CHARACTERS])).replace("\n", " ")
    except ValueError:
        return ""
