"""Widgets as lines of text: what a hostile kernel may make of them, too."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jrc.notebook.widget_text import VIEW_MIMETYPE, View, WidgetTexts
from jrc.wire.message import Message, new_message

IDS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=5),
    st.lists(IDS.map("IPY_MODEL_{}".format), max_size=4),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
STATES = st.dictionaries(
    st.sampled_from(["children", "value", "min", "max", "description", "layout", "display"]), VALUES
)
NAMES = st.sampled_from(["HBoxModel", "HTMLModel", "FloatProgressModel", "LayoutModel", "X"])


def published(kind: str, content: dict[str, Any]) -> Message:
    return new_message(
        "iopub", kind, content, msg_id="m", session="s", username="u", date="2026-01-01T00:00:00Z"
    )


def comm(kind: str, comm_id: str, **state: Any) -> Message:
    return published(kind, {"comm_id": comm_id, "data": {"state": state}})


def shown(model_id: str) -> Message:
    content = {"data": {VIEW_MIMETYPE: {"model_id": model_id}}, "metadata": {}}
    return published("display_data", content)


@given(st.lists(st.tuples(IDS, NAMES, STATES), max_size=12))
def test_any_state_has_a_text(states: list[tuple[str, str, dict[str, Any]]]) -> None:
    texts = WidgetTexts()
    for comm_id, name, state in states:
        texts.heard(0, comm("comm_open", comm_id, _model_name=name, **state))
        for view in texts.heard(0, shown(comm_id)):
            assert "\n" not in view.text


def test_boxes_in_boxes_without_an_end() -> None:
    texts = WidgetTexts()
    children = ["IPY_MODEL_a"] * 1000
    texts.heard(0, comm("comm_open", "a", _model_name="HBoxModel", children=children))
    assert texts.heard(0, shown("a")) == []


def test_a_part_changes_every_view_that_shows_it() -> None:
    texts = WidgetTexts()
    texts.heard(0, comm("comm_open", "text", _model_name="HTMLModel", value="<b>one</b>"))
    for box in ("left", "right"):
        parts = ["IPY_MODEL_text"]
        texts.heard(0, comm("comm_open", box, _model_name="HBoxModel", children=parts))
        assert texts.heard(0, shown(box)) == [View(0, box, "one")]
    changed = texts.heard(1, comm("comm_msg", "text", value="two"))
    assert sorted(changed) == [View(0, "left", "two"), View(0, "right", "two")]
    assert texts.heard(1, comm("comm_msg", "text", value="two")) == []
    texts.finished(0)
    assert texts.heard(1, comm("comm_msg", "text", value="three")) == []


def test_what_is_no_state_is_passed_over() -> None:
    texts = WidgetTexts()
    for content in ({}, {"comm_id": "a", "data": None}, {"comm_id": "a", "data": {"state": 1}}):
        assert texts.heard(0, published("comm_msg", content)) == []
    assert texts.heard(0, published("display_data", {"data": 1})) == []
