"""Answers of servers, and of what is none."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import NotFoundError, ProtocolError
from jrc.server import models
from jrc.server.ids import find_kernel, short_ids
from jrc.server.models import KernelModel, answer_of
from jrc.shapes import Reader

KERNEL = {
    "id": "4ba6651a-3cd6-461a-8135-b3d8b2864061",
    "name": "python3",
    "last_activity": "2026-11-22T19:45:15.329632Z",
    "execution_state": "idle",
    "connections": 2,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ODD_KERNELS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(KERNEL, JSON) | {"spec": JSON, "kernel": JSON}
)


def body(value: object) -> Reader:
    return answer_of("GET http://h/api/x", value)


def some_kernel(kernel_id: str) -> KernelModel:
    return KernelModel(kernel_id, "python3", "idle", None, 0)


def test_kernel() -> None:
    assert models.kernel(body(KERNEL)) == KernelModel(
        id="4ba6651a-3cd6-461a-8135-b3d8b2864061",
        name="python3",
        state="idle",
        last_activity=datetime(2026, 11, 22, 19, 45, 15, 329632, UTC),
        connections=2,
    )


def test_only_the_id_of_a_kernel_is_needed() -> None:
    assert models.kernel(body({"id": "a"})) == KernelModel("a", "", "unknown", None, 0)


def test_a_time_without_a_zone_is_utc() -> None:
    model = models.kernel(body({"id": "a", "last_activity": "2026-01-02T03:04:05"}))
    assert model.last_activity == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_session_without_a_name() -> None:
    model = models.session(
        body({"id": "s", "path": "jrc/a", "name": None, "type": "notebook", "kernel": KERNEL})
    )
    assert (model.id, model.path, model.name, model.kernel.name) == ("s", "jrc/a", "", "python3")


def test_kernelspecs() -> None:
    specs = models.kernelspecs(
        body(
            {
                "default": "python3",
                "kernelspecs": {
                    "python3": {"spec": {"display_name": "Python 3", "language": "python"}},
                    "odd": {"name": "odd", "spec": {}},
                },
            }
        )
    )
    assert specs.default == "python3"
    assert specs.specs["python3"].display_name == "Python 3"
    assert (specs.specs["odd"].display_name, specs.specs["odd"].language) == ("odd", "")


@pytest.mark.parametrize(
    ("read", "value", "place"),
    [
        (models.kernel, [], "answered a list where an object"),
        (models.kernel, {}, "answered nothing at id"),
        (models.kernel, {"id": 3}, "answered a number at id where text belongs"),
        (models.kernel, {"id": "a", "connections": True}, "true or false at connections"),
        (models.kernel, {"id": "a", "connections": 1.5}, "a number at connections"),
        (models.kernel, {"id": "a", "last_activity": "soon"}, "last_activity where a time"),
        (models.session, {"id": "s"}, "answered nothing at kernel where an object"),
        (models.session, {"id": "s", "kernel": {}}, "answered nothing at kernel.id"),
        (models.kernelspecs, {"kernelspecs": {"a": 1}}, "a number at kernelspecs.a"),
        (models.version, {"ok": 1}, "nothing at version"),
        (lambda b: models.list_of(models.kernel, b), [{}], "nothing at [0].id"),
        (lambda b: models.list_of(models.kernel, b), None, "answered nothing where a list"),
    ],
)
def test_a_wrong_shape_names_endpoint_and_place(read, value, place) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ProtocolError) as raised:
        read(body(value))
    assert raised.value.message.startswith("GET http://h/api/x answered ")
    assert place in raised.value.message


@given(JSON | ODD_KERNELS | st.fixed_dictionaries({"id": st.text(), "kernel": ODD_KERNELS}))
def test_no_json_makes_another_error(value: object) -> None:
    """Whatever a server answers, the result is a model or a ProtocolError."""
    for read in (models.kernel, models.session, models.kernelspecs, models.version):
        with suppress(ProtocolError):
            read(body(json.loads(json.dumps(value))))


@pytest.mark.attacks
def test_one_bad_row_hides_none_of_the_others() -> None:
    good, bad = {"id": "a", "kernel": {"id": "k"}}, {"id": 5}
    assert [each.id for each in models.list_of(models.session, body([bad, good, None]))] == ["a"]
    specs = {"x": {"spec": {"display_name": "X"}}, "y": {"spec": 7}, "z\ud800": {"spec": {}}}
    assert list(models.kernelspecs(body({"kernelspecs": specs})).specs) == ["x", "z?"]
    with pytest.raises(ProtocolError, match=r"answered text at \[0\]"):
        models.list_of(models.session, body(["no session", good["kernel"]["id"]]))


def test_short_ids_are_as_long_as_needed() -> None:
    kernels = [some_kernel(each) for each in ("aaaaaaaa-1", "aaaaaaaa-2", "bbbbbbbb-3", "c")]
    assert list(short_ids(kernels).values()) == ["aaaaaaaa-1", "aaaaaaaa-2", "bbbbbbbb", "c"]


@given(st.lists(st.uuids().map(str), unique=True))
def test_every_short_id_finds_its_kernel(ids: list[str]) -> None:
    kernels = [some_kernel(each) for each in ids]
    for kernel_id, short in short_ids(kernels).items():
        assert find_kernel(kernels, short).id == kernel_id


def test_find_kernel() -> None:
    kernels = [some_kernel("abc"), some_kernel("abd"), some_kernel("ab")]
    assert find_kernel(kernels, "abc").id == "abc"
    assert find_kernel(kernels, "ab").id == "ab"
    with pytest.raises(NotFoundError, match=r"Several kernels.*'a': ab, abc, abd"):
        find_kernel(kernels, "a")
    with pytest.raises(NotFoundError, match="begins with 'x'"):
        find_kernel(kernels, "x")
    with pytest.raises(NotFoundError):
        find_kernel(kernels, "")
