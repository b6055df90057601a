"""Notebooks and scripts are read as nbformat and jupytext read them, or refused in plain words."""

import contextlib
import copy
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import JrcError, NotFoundError, UsageError
from jrc.notebook.document import Cell, Document, load
from jrc.notebook.reading import complete
from jrc.notebook.repair import repair
from jrc.notebook.schema import fits
from tests.run.corpus import make

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from papermill.execute import remove_error_markers

CORPUS = sorted(Path(make.__file__).parent.glob("*.ipynb"))
"""The notebooks that jrc and nbclient execute."""


def notebook(*cells: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **fields}


def code(source: Any = "1", **fields: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source}
    return {**cell, "outputs": [], "execution_count": None, **fields}


NESTED = '{"nbformat": 4, "metadata": {"deep": ' + '{"a":' * 400 + "1" + "}" * 402
"""JSON that Python reads, and could not write."""


@pytest.fixture
def load_text(tmp_path: Path) -> Any:
    """Loads a document from its text or its JSON: ``load_text("a.ipynb", content, *args)``."""

    def load_it(name: str, content: Any, *args: str) -> Document:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8", newline="")
        return load(path, args=list(args))

    return load_it


# --- notebooks


def test_corpus_is_what_its_script_writes() -> None:
    """Nobody edited a notebook of the corpus by hand and forgot the script."""
    assert len(CORPUS) >= 25
    assert {path.name: path.read_text(encoding="utf-8") for path in CORPUS} == make.texts()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_notebook_is_what_nbformat_reads(path: Path) -> None:
    """Every notebook of the corpus is valid 4.5 and equals what nbformat makes of the file."""
    document = load(path, args=[])
    nbformat.validate(copy.deepcopy(document.notebook))
    expected = nbformat.v4.upgrade(nbformat.read(path, as_version=4))
    expected.metadata.pop("orig_nbformat_minor", None)
    ids = [cell["id"] for cell in document.notebook["cells"]]
    assert len(set(ids)) == len(ids)
    if path.stem.startswith("nbformat_4_"):
        # nbformat makes up ids; ours are the same each time.
        assert ids == [cell["id"] for cell in load(path, args=[]).notebook["cells"]]
        for cell, cell_id in zip(expected.cells, ids, strict=True):
            cell.id = cell_id
    assert document.notebook == expected
    assert (document.kind, document.language, document.kernel_name) == (
        "notebook",
        "python",
        "python3",
    )


def test_nbformat_is_not_imported_for_a_notebook_of_today() -> None:
    """Reading and writing a valid notebook costs no import of nbformat or jupytext."""
    program = (
        "import sys; from pathlib import Path; from jrc.notebook.document import load; "
        "import jrc.notebook.saving; [load(Path(p), args=[]) for p in sys.argv[1:]]; "
        "heavy = {'nbformat', 'jupytext', 'jsonschema', 'yaml', 'traitlets'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, CORPUS)], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_cells_to_execute(load_text: Any) -> None:
    """Blank, skipped and other cells are left out; indexes are those of the notebook."""
    document = load_text(
        "a.ipynb",
        notebook(
            {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "x"},
            code(["a = 1\n", "b = 2"], id="b", metadata={"tags": ["raises-exception", "x"]}),
            code(" \n\t", id="c"),
            code("never()", id="d", metadata={"tags": ["skip-execution"]}),
            code("z", id="e"),
        ),
    )
    assert document.cells == [
        Cell(1, "a = 1\nb = 2", frozenset({"raises-exception", "x"}), 0, 1),
        Cell(4, "z", frozenset(), 0, 2),
    ]
    assert [document.code(cell) for cell in document.cells] == ["a = 1\nb = 2", "z"]
    assert document.prologue == ""


def test_absent_fields_and_ids_are_filled_in(load_text: Any) -> None:
    """What hand-made notebooks leave out and nobody can misunderstand is filled in."""
    bare = {"cell_type": "code", "source": "1"}
    document = load_text("a.ipynb", {"nbformat": 4, "cells": [bare, bare, code(id="not an id!")]})
    nbformat.validate(copy.deepcopy(document.notebook))
    assert [cell["outputs"] for cell in document.notebook["cells"]] == [[], [], []]
    assert document.notebook["nbformat_minor"] == 5
    assert (document.language, document.kernel_name) == (None, None)


def test_duplicate_ids_are_told_apart(load_text: Any) -> None:
    document = load_text("a.ipynb", notebook(code("1"), code("2"), code("3", id="b")))
    ids = [cell["id"] for cell in document.notebook["cells"]]
    assert (ids[0], ids[2], len(set(ids))) == ("a", "b", 3)


def test_transient_metadata_is_dropped(load_text: Any) -> None:
    metadata = {"signature": "sha", "orig_nbformat": 3, "orig_nbformat_minor": 2, "kept": 1}
    document = load_text(
        "a.ipynb", notebook(code(metadata={"trusted": True, "x": 1}), metadata=metadata)
    )
    assert document.notebook["metadata"] == {"kept": 1}
    assert document.notebook["cells"][0]["metadata"] == {"x": 1}


def test_byte_order_mark(load_text: Any) -> None:
    text = "\ufeff" + json.dumps(notebook(code("'é'")), ensure_ascii=False)
    assert load_text("a.ipynb", text).cells[0].source == "'é'"


def test_newer_minor_format_is_kept(load_text: Any) -> None:
    """A future 4.6 may hold fields and cells that jrc does not know; they survive."""
    new_cell = {"cell_type": "hologram", "id": "h", "metadata": {}, "depth": 3}
    document = load_text(
        "a.ipynb", notebook(code(future=1), new_cell, nbformat_minor=6, future=[2])
    )
    assert document.notebook["nbformat_minor"] == 6
    assert document.notebook["future"] == [2]
    assert [cell.source for cell in document.cells] == ["1"]


def test_format_3_is_upgraded(load_text: Any) -> None:
    """A notebook of 2013: worksheets, headings, pyout, pyerr and prompt numbers."""
    outputs = [
        {"output_type": "stream", "stream": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "pyout", "prompt_number": 3, "text": ["4"], "html": ["<b>4</b>"]},
        {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]},
        {"output_type": "display_data", "png": "iVBORw0KGgo=", "metadata": {}},
    ]
    cells = [
        {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Head"]},
        {
            "cell_type": "code",
            "collapsed": False,
            "input": ["2 + 2\n", "# é"],
            "language": "python",
            "metadata": {},
            "outputs": outputs,
            "prompt_number": 3,
        },
        {"cell_type": "markdown", "metadata": {}, "source": ["text"]},
    ]
    worksheets = [{"cells": cells, "metadata": {}}]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "old"}}
    document = load_text("old.ipynb", {**old, "worksheets": worksheets})
    nbformat.validate(copy.deepcopy(document.notebook))
    assert document.notebook["cells"][0]["source"] == "## Head"
    assert [cell.source for cell in document.cells] == ["2 + 2\n# é"]
    assert [output["output_type"] for output in document.notebook["cells"][1]["outputs"]] == [
        "stream",
        "execute_result",
        "error",
        "display_data",
    ]
    assert type(document.notebook["cells"][1]) is dict


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        ("\ufeff \n", ["empty"]),
        ('{"cells": [', ["not JSON", "line 1 column 12"]),
        ("# not JSON", ["not JSON"]),
        ("[1]", ["not an object"]),
        ("{}", ["no nbformat number"]),
        ('{"a": 1}\n<<<<<<< HEAD\n', ["merge conflict in line 2"]),
        (b"\xff\xfe{\x00}\x00", ["not UTF-8", "byte 0"]),
        ('{"nbformat": ' + "[" * 100_000, ["nested more than 200 levels"]),
        (notebook(nbformat=5), ["format 5", "up to 4"]),
        (notebook(nbformat="4"), ["no nbformat number"]),
        (notebook(nbformat=True), ["no nbformat number"]),
        (notebook(nbformat=2.5), ["no nbformat number"]),
        (notebook(nbformat=float("nan")), ["no nbformat number"]),
        (notebook(nbformat=3.0, worksheets=[{"cells": [[]]}]), ["format 3"]),
        (notebook(nbformat=2, worksheets=7), ["format 2"]),
        (notebook(nbformat=0), ["no nbformat number"]),
        ({"nbformat": 3, "nbformat_minor": 0}, ["format 3"]),
        ({"nbformat": 3, "worksheets": [{"cells": [{}]}], "metadata": {}}, ["format 3"]),
        (notebook(cells={}), ["valid"]),
        (notebook(cells=[1]), ["valid"]),
        ({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}, ["valid"]),
        (notebook(metadata=[]), ["valid", "metadata"]),
        (notebook(code(source=7)), ["cell 1", "source"]),
        (notebook(code(source=["a", 1])), ["cell 1", "source"]),
        (notebook({"source": "1"}), ["cell 1"]),
        (notebook({"cell_type": ["code"], "source": "1"}), ["cell 1"]),
        (notebook(code(id="a"), code(source=["x" * 999, 1])), ["cell 2", "…"]),
        (NESTED, ["nested more than 200 levels"]),
        (notebook(code(future=1, metadata=None), nbformat_minor=6), ["cell 1", "metadata"]),
    ],
)
def test_broken_notebooks(load_text: Any, content: Any, words: list[str]) -> None:
    """Each is refused by a sentence that names the file, the cell and what is wrong."""
    with pytest.raises(UsageError) as caught:
        load_text("broken.ipynb", content)
    assert "broken.ipynb" in caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message
    assert len(caught.value.message) < 500
    assert "\n" not in caught.value.message


def outputs(*old: Any) -> dict[str, Any]:
    return notebook(code(outputs=list(old)))


def kernelspec(value: Any, **metadata: Any) -> dict[str, Any]:
    return notebook(code(), metadata={"kernelspec": value, **metadata})


def language_info(value: Any) -> dict[str, Any]:
    return notebook(code(), metadata={"language_info": value})


def tags(value: Any, source: str = "1") -> dict[str, Any]:
    return notebook(code(source, metadata={"tags": value}))


MARKDOWN = {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "m"}
HARMLESS = {
    "outputs of markdown": (
        notebook({**MARKDOWN, "outputs": [], "execution_count": None}, code()),
        "key 'execution_count' of a markdown cell, taken out (cell 1)",
    ),
    "collapsed": (notebook(code(collapsed=True)), "'collapsed' of a cell, moved into its metadata"),
    "key of VS Code": (notebook(code(vscode={"languageId": "python"})), "'vscode' of a cell"),
    "key taken": (notebook(code(x=1, metadata={"x": 2})), "'x' of a code cell, taken out"),
    "key that is a fault": (notebook(code(tags="a,a")), "tags that are no list"),
    "key of the notebook": (notebook(code(), extra=1), "key 'extra', moved into the metadata"),
    "kernelspec null": (kernelspec(None), "kernelspec that is null"),
    "kernelspec empty": (kernelspec({}), "kernelspec that is incomplete"),
    "kernelspec text": (kernelspec("python3"), "kernelspec that is no object"),
    "kernelspec name": (kernelspec({"name": "python3"}), "kernelspec that is incomplete"),
    "kernelspec label": (kernelspec({"display_name": "P"}), "kernelspec that is incomplete"),
    "kernelspec language": (kernelspec({"language": "python"}), "kernelspec that is incomplete"),
    "kernelspec number": (kernelspec({"name": 3}), "kernelspec that is incomplete"),
    "language_info null": (language_info(None), "language_info that is null"),
    "language_info empty": (language_info({}), "language_info that is incomplete"),
    "language_info version": (language_info({"version": "3.8"}), "language_info that is incompl"),
    "language_info mode": (
        language_info({"name": "python", "codemirror_mode": None, "mimetype": 1}),
        "language_info that is incomplete",
    ),
    "metadata null": (notebook(code(), metadata=None), "metadata that is null"),
    "title null": (notebook(code(), metadata={"title": None}), "title in the metadata"),
    "authors": (notebook(code(), metadata={"authors": "me"}), "authors in the metadata"),
    "metadata of a cell": (notebook(code(metadata=None)), "metadata of a cell that is null"),
    "metadata a list": (notebook(code(metadata=[])), "metadata of a cell that is no object"),
    "tags text": (tags("parameters"), "tags that are no list of different words (cell 1)"),
    "tags double": (tags(["a", "a"]), "tags that are no list"),
    "tags comma": (tags(["a,b"]), "tags that are no list"),
    "tags null": (tags(None), "tags that are no list"),
    "tags number": (tags([1, "a"]), "tags that are no list"),
    "name empty": (notebook(code(metadata={"name": ""})), "name in the metadata of a cell"),
    "scrolled": (notebook(code(metadata={"scrolled": "x"})), "scrolled in the metadata"),
    "count negative": (notebook(code(execution_count=-1)), "execution count"),
    "count float": (notebook(code(execution_count=1.5)), "execution count"),
    "count text": (notebook(code(execution_count="1")), "execution count"),
    "heading": (
        notebook({"cell_type": "heading", "level": 2, "source": ["a\n", "b"]}, code()),
        "cell of the type heading, now markdown",
    ),
    "unknown cell": (
        notebook({"cell_type": "sql", "source": "SELECT 1"}, code()),
        "cell of the unknown type 'sql', now raw",
    ),
    "no source": (notebook({"cell_type": "code"}, code()), "cell without source, now empty"),
    "source null": (notebook({**MARKDOWN, "source": None}, code()), "cell without source"),
    "source list": (notebook({**MARKDOWN, "source": ["a", 1]}, code()), "source that is no text"),
    "names of format 3": (
        notebook({"cell_type": "code", "input": ["1"], "prompt_number": 2}),
        "key 'input' of the format 3, now 'source'",
    ),
    "attachments": (notebook({**MARKDOWN, "attachments": None}, code()), "attachments that are no"),
    "minor text": (notebook(code(), nbformat_minor="4"), "nbformat_minor that is no number"),
    "minor null": (notebook(code(), nbformat_minor=None), "nbformat_minor that is no number"),
    "old output of a skipped cell": (
        notebook(code(metadata={"tags": ["skip-execution"]}, outputs=[7]), code(id="b")),
        "outputs (cell 1)",
    ),
    "number as a float": (notebook(code(), nbformat=4.0), ""),
    "count as a float": (notebook(code(execution_count=3.0)), ""),
    "pyout": (outputs({"output_type": "pyout", "prompt_number": 1, "text": ["1"]}), ""),
    "pyerr": (outputs({"output_type": "pyerr", "ename": "E"}), ""),
    "output unknown": (outputs({"output_type": "hologram"}), ""),
    "output number": (outputs(7), ""),
    "outputs null": (notebook(code(outputs=None)), ""),
    "outputs object": (notebook(code(outputs={"a": 1})), ""),
    "stream without name": (outputs({"output_type": "stream", "text": "x"}), ""),
    "stream without text": (outputs({"output_type": "stream", "name": "stdout"}), ""),
    "display without metadata": (
        outputs({"output_type": "display_data", "data": {"text/plain": ["a"]}}),
        "",
    ),
    "display with a number": (
        outputs({"output_type": "display_data", "data": {"text/plain": 5}, "metadata": {}}),
        "",
    ),
    "result without a count": (outputs({"output_type": "execute_result", "data": {}}), ""),
    "extra key of an output": (
        outputs({"output_type": "stream", "name": "stdout", "text": "", "extra": 1}),
        "",
    ),
    "error without traceback": (outputs({"output_type": "error", "ename": "E", "evalue": ""}), ""),
}
"""Notebooks that nbclient and papermill run though nbformat calls them invalid."""


@pytest.mark.parametrize(("content", "said"), HARMLESS.values(), ids=HARMLESS)
def test_harmless_faults_are_repaired(load_text: Any, content: Any, said: str) -> None:
    """What is executed is the same; the rest is valid, and one notice says what was repaired.

    Nothing is said of old outputs that the run replaces.
    """
    document = load_text("odd.ipynb", content)
    nbformat.validate(copy.deepcopy(document.notebook))
    assert [cell.source for cell in document.cells] == ["1"]
    assert [kind for kind, _ in document.notices] == (["repaired"] if said else [])
    for _, text in document.notices:
        assert text.startswith("odd.ipynb does not follow the notebook format. Repaired in the res")
        assert said in text


def test_what_a_repair_keeps(load_text: Any) -> None:
    """Names move to where the format has them."""
    document = load_text("a.ipynb", kernelspec({"language": "R"}, language_info={"version": "4"}))
    assert (document.language, document.kernel_name) == ("R", None)
    document = load_text("a.ipynb", kernelspec({"name": "mine", "language": "python"}, x=1))
    assert document.notebook["metadata"] == {
        "kernelspec": {"name": "mine", "display_name": "mine", "language": "python"},
        "x": 1,
    }
    document = load_text("a.ipynb", tags(["a, b", "b", "", 1]))
    assert document.cells[0].tags == {"a", "b"}
    heading = {"cell_type": "heading", "level": 2, "source": ["a\n", "b"]}
    assert load_text("a.ipynb", notebook(heading)).notebook["cells"][0]["source"] == "## a b"
    old = {"output_type": "pyout", "prompt_number": 3, "png": "iVBO", "text": ["4"]}
    skipped = code(metadata={"tags": ["skip-execution"]}, outputs=[old])
    assert load_text("a.ipynb", notebook(skipped)).notebook["cells"][0]["outputs"] == [
        {
            "output_type": "execute_result",
            "data": {"image/png": "iVBO", "text/plain": "4"},
            "metadata": {},
            "execution_count": 3,
        }
    ]


def test_the_error_cells_of_an_earlier_run_are_taken_out(load_text: Any) -> None:
    """As papermill does: they are no part of the notebook."""
    marker = {**MARKDOWN, "metadata": {"tags": ["papermill-error-cell-tag"]}}
    document = load_text("a.ipynb", notebook(marker, {**marker, "id": "n"}, code()))
    assert [cell["id"] for cell in document.notebook["cells"]] == ["a"]
    assert (document.cells[0].index, document.notices) == (0, [])
    theirs = remove_error_markers(nbformat.from_dict(notebook(marker, code())))
    assert [cell.id for cell in theirs.cells] == ["a"]


def test_many_repairs_are_one_short_notice(load_text: Any) -> None:
    cells = [code(id=f"c{n}", **{f"key{n}": 1}) for n in range(9)]
    cells += [code(id=f"d{n}", execution_count=-1) for n in range(9)]
    ((_, text),) = load_text("a.ipynb", notebook(*cells)).notices
    assert "key 'key0' of a cell, moved into its metadata (cell 1); " in text
    assert text.endswith("; and 4 more.")
    ((_, text),) = load_text("a.ipynb", notebook(*cells[9:])).notices
    assert text.endswith("natural number (cells 1, 2, 3, 4 and 5 more).")


def test_missing_and_unfit_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.ipynb does not exist"):
        load(tmp_path / "none.ipynb", args=[])
    with pytest.raises(NotFoundError, match=r"none\.py does not exist"):
        load(tmp_path / "none.py", args=[])
    (tmp_path / "folder.ipynb").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        load(tmp_path / "folder.ipynb", args=[])
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / ("x" * 300 + ".ipynb"), args=[])
    for name in ("none.txt", "none"):
        with pytest.raises(NotFoundError, match=f"{name} does not exist") as missing:
            load(tmp_path / name, args=[])
        assert missing.value.hint is None
    (tmp_path / "folder.d").mkdir()
    with pytest.raises(UsageError, match=r"folder\.d is a folder"):
        load(tmp_path / "folder.d", args=[])
    for name in ("a.R", "a.md", "a", ".ipynb"):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match="neither a notebook nor a Python script") as caught:
            load(tmp_path / name, args=[])
        assert ".ipynb" in str(caught.value.hint)


@pytest.mark.parametrize("suffix", [".ipynb", ".py"])
def test_the_end_of_a_name_that_was_left_out_is_said(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"train{suffix}").touch()
    with pytest.raises(NotFoundError, match=r"train does not exist") as caught:
        load(tmp_path / "train", args=[])
    assert caught.value.hint == f"Did you mean {tmp_path / f'train{suffix}'}?"
    with pytest.raises(NotFoundError, match="does not exist"):
        load(tmp_path / ("x" * 300), args=[])


def test_arguments_are_for_scripts(load_text: Any) -> None:
    with pytest.raises(UsageError, match="takes no arguments, but got '--x'") as caught:
        load_text("a.ipynb", notebook(), "--x", "1")
    assert "-p NAME VALUE" in str(caught.value.hint)


# --- what nbformat says of the same JSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "a,b", "a\nb"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)
texts = st.sampled_from(["", "a\n", "b\u2028"]) | st.lists(st.sampled_from(["a\n", "b"]))
bundles = st.fixed_dictionaries(
    {}, optional={"text/plain": texts, "image/png": texts, "application/x+json": json_values}
)
counts = st.sampled_from([None, 0, 7])
outputs = st.one_of(
    st.fixed_dictionaries(
        {"output_type": st.just("stream"), "name": st.just("stdout"), "text": texts}
    ),
    st.fixed_dictionaries(
        {"output_type": st.just("display_data"), "data": bundles, "metadata": st.just({})}
    ),
    st.fixed_dictionaries(
        {
            "output_type": st.just("execute_result"),
            "data": bundles,
            "metadata": st.just({}),
            "execution_count": counts,
        }
    ),
    st.fixed_dictionaries(
        {
            "output_type": st.just("error"),
            "ename": st.just("E"),
            "evalue": st.just(""),
            "traceback": st.lists(st.just("t")),
        }
    ),
)
metadata = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(st.sampled_from("abc"), unique=True),
        "name": st.just("n"),
        "jupyter": st.just({}),
        "execution": st.just({"iopub.status.busy": "now"}),
        "collapsed": st.booleans(),
        "scrolled": st.sampled_from([True, "auto"]),
        "x": json_values,
    },
)
cells = st.one_of(
    st.fixed_dictionaries(
        {"cell_type": st.just("code"), "source": texts, "outputs": st.lists(outputs, max_size=2)},
        optional={"metadata": metadata, "execution_count": counts, "id": st.sampled_from("ab")},
    ),
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["markdown", "raw"]), "source": texts},
        optional={
            "metadata": metadata,
            "attachments": st.dictionaries(st.just("x.png"), bundles),
            "id": st.sampled_from(["a", "é"]),
        },
    ),
)
kernelspecs = st.just({"name": "n", "display_name": "d"})
sound_notebooks = st.fixed_dictionaries(
    {"nbformat": st.just(4), "cells": st.lists(cells, max_size=3)},
    optional={
        "nbformat_minor": st.integers(0, 5),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "kernelspec": kernelspecs,
                "language_info": st.just({"name": "n", "codemirror_mode": {}}),
                "title": st.just("t"),
                "authors": st.just([{"name": "n"}]),
                "orig_nbformat": st.just(3),
            },
        ),
    },
)


@st.composite
def damaged_notebooks(draw: st.DrawFn) -> dict[str, Any]:
    """A sound notebook in which one value is another one, is gone, or has a stranger beside it."""
    damaged: dict[str, Any] = copy.deepcopy(draw(sound_notebooks))
    place: Any = damaged
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return damaged
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    how = draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "replace":
        place[key] = draw(json_values)
    elif how == "remove":
        del place[key]
    elif isinstance(place, dict):
        place["stranger"] = draw(json_values)
    return damaged


notebooks = sound_notebooks | damaged_notebooks()


@given(sound_notebooks)
def test_sound_notebooks_fit(candidate: dict[str, Any]) -> None:
    """What is as it should be needs no import of nbformat."""
    complete(candidate)
    assert fits(candidate)


@given(notebooks)
def test_what_fits_is_valid(candidate: dict[str, Any]) -> None:
    """Whatever passes our own check passes nbformat's, which then need not be imported."""
    complete(candidate)
    if fits(candidate):
        before = copy.deepcopy(candidate)
        nbformat.validate(candidate)
        assert candidate == before


@given(notebooks)
def test_what_is_repaired_is_valid(candidate: dict[str, Any]) -> None:
    """Repairs change nothing that is sound, leave nothing that is not, and come to an end."""
    candidate.update(nbformat=4)
    complete(candidate)
    before = copy.deepcopy(candidate)
    sound = fits(candidate)
    repaired, repairs = repair(candidate)
    assert candidate == before
    if sound:
        assert (repaired, repairs) == (candidate, [])
    elif can_be_repaired(candidate):
        nbformat.validate(copy.deepcopy(repaired))
        assert fits(repaired)
        assert repair(repaired) == (repaired, [])


def can_be_repaired(candidate: dict[str, Any]) -> bool:
    """Whether it is certain what its cells are and what their code is."""
    cells = candidate.get("cells")
    return (
        isinstance(cells, list)
        and isinstance(candidate.get("metadata"), dict | None)
        and all(isinstance(cell, dict) and can_be_executed(cell) for cell in cells)
    )


def can_be_executed(cell: dict[str, Any]) -> bool:
    is_text = isinstance(cell.get("source"), str | None)
    return isinstance(cell.get("cell_type"), str) and (is_text or cell["cell_type"] != "code")


@given(notebooks)
def test_what_nbformat_finds_valid_is_left_alone(candidate: dict[str, Any]) -> None:
    """The repairer does not judge more strictly than the schema."""
    candidate.update(nbformat=4, nbformat_minor=5)
    complete(candidate)
    if can_be_repaired(candidate):
        try:
            nbformat.validate(copy.deepcopy(candidate))
        except nbformat.ValidationError:
            return
        assert repair(candidate) == (candidate, [])


@given(notebooks)
def test_completing_twice_changes_nothing(candidate: dict[str, Any]) -> None:
    complete(candidate)
    once = copy.deepcopy(candidate)
    complete(candidate)
    assert candidate == once


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_content_is_a_bug(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any bytes under any name are read or refused, never a crash."""
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.ipynb", "a.py"):
        path = folder / name
        path.write_bytes(content)
        with contextlib.suppress(JrcError):
            load(path, args=[])


# --- scripts


def test_plain_script(load_text: Any, tmp_path: Path) -> None:
    """One unit; the kernel gets code that runs it, the notebook has the text."""
    source = "print('hello')\n"
    document = load_text("train.py", source, "--epochs", "3")
    assert (document.kind, document.language, document.kernel_name) == ("script", "python", None)
    assert document.cells == [Cell(0, source, frozenset(), 1, 1)]
    assert document.code(document.cells[0]).startswith("__import__")
    assert document.args == ["--epochs", "3"]
    assert document.prologue == ""
    nbformat.validate(document.notebook)
    assert load_text("empty.py", "").cells == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a = 'é'\r\nb\rc\n".encode(), "a = 'é'\nb\nc\n"),
        (b"\xef\xbb\xbfa = 1", "a = 1"),
        ("# coding: latin-1\na = 'é'".encode("latin-1"), "# coding: latin-1\na = 'é'"),
        ("#!x\n# -*- coding: cp1252 -*-\n'€'".encode("cp1252"), None),
        ("\n#  vim: set fileencoding=latin-1 :\n'é'".encode("latin-1"), None),
        ("a = 1\n# coding: latin-1\n'é'".encode(), "a = 1\n# coding: latin-1\n'é'"),
        ("'''\n# coding: latin-1\n'''\n'é'".encode(), "'''\n# coding: latin-1\n'''\n'é'"),
    ],
)
def test_encodings_of_scripts(tmp_path: Path, data: bytes, text: str | None) -> None:
    """Coding cookies, a BOM and all line ends, as Python itself reads them."""
    import tokenize

    path = tmp_path / "a.py"
    path.write_bytes(data)
    with tokenize.open(path) as file:
        expected = file.read()
    assert expected == (text or expected)
    assert load(path, args=[]).cells[0].source == expected


def test_scripts_of_broken_encoding(load_text: Any) -> None:
    with pytest.raises(UsageError, match="is not utf-8 text: line 2"):
        load_text("a.py", b"a = 1\nb = '\xe9'\n")
    with pytest.raises(UsageError, match="encoding that does not exist: klingon"):
        load_text("a.py", b"# coding: klingon\n")


PERCENT = '''# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: My Python
#     language: python
#     name: mine
# ---

# %% [markdown]
# # Title
# x = 1

# %%
x = 1

# %% Named tags=["parameters", "b"]
x = 2


def f():
    return x
# %%

# %% tags=["skip-execution"]
never()
# %%
# %matplotlib inline
"""
# %% inside a string
"""
y = 1 / 0
# %% [raw]
# x = 1
'''


def test_percent_script(load_text: Any, tmp_path: Path) -> None:
    """Cells, tags, the kernel of the header, and where each cell begins in the file."""
    document = load_text("cells.py", PERCENT, "a")
    nbformat.validate(copy.deepcopy(document.notebook))
    assert (document.kind, document.language, document.kernel_name) == ("percent", "python", "mine")
    lines = PERCENT.split("\n")
    assert [(cell.line, cell.source.partition("\n")[0]) for cell in document.cells] == [
        (1 + lines.index("x = 1"), "x = 1"),
        (1 + lines.index("x = 2"), "x = 2"),
        (1 + lines.index("# %matplotlib inline"), "%matplotlib inline"),
    ]
    assert document.cells[1].tags == {"parameters", "b"}
    assert [cell["cell_type"] for cell in document.notebook["cells"]] == [
        *("markdown", "code", "code", "code", "code", "code", "raw"),
    ]
    assert document.code(document.cells[0]) == "x = 1"
    path = str((tmp_path / "cells.py").absolute())
    assert document.prologue.splitlines()[:2] == [
        f"__file__ = {path!r}",
        f"__import__('sys').argv = {[path, 'a']!r}",
    ]


def test_percent_cells_are_those_of_jupytext(load_text: Any, tmp_path: Path) -> None:
    document = load_text("cells.py", PERCENT)
    expected = jupytext.read(tmp_path / "cells.py")
    ours = [(c["cell_type"], c["source"], c["metadata"]) for c in document.notebook["cells"]]
    assert ours == [(c.cell_type, c.source, c.metadata) for c in expected.cells]
    assert document.notebook["metadata"] == expected.metadata
    again = load_text("cells.py", PERCENT)
    assert again.notebook == document.notebook


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("# %%\n1\n", "percent"),
        ("#%%\n1\n", "percent"),
        ("import os\n\n# %% title\n1\n", "percent"),
        ("# %%%% nested\n1\n", "percent"),
        ("# %%\r\n1\r\n", "percent"),
        ("# %%\n!ls\n%time 1\n", "percent"),
        ("#!/usr/bin/env python\n# coding: utf8\n# %%\n1\n", "percent"),
        ("# coding: latin-1\n# %%\n1\n", "percent"),
        ("x = 1  # %%\n", "script"),
        ("def f():\n    # %% not a cell\n    pass\n", "script"),
        ("text = '''\n# %%\n'''\n", "script"),
        ("# %%time\n", "script"),
        ("# 100 %%\n", "script"),
        ("# %\n", "script"),
        ("'''\n# %%\n", "percent"),
    ],
)
def test_which_scripts_have_cells(load_text: Any, source: str, kind: str) -> None:
    """Only a comment that begins a line begins a cell; a string that looks like one does not."""
    assert load_text("a.py", source).kind == kind


def test_lines_of_cells(load_text: Any) -> None:
    """Code before the first marker, equal cells, blank lines and markers in functions."""
    source = "import os\n\n\n# %%\n\nx = 1\n# %%\nx = 1\n\n\n# %% last\nx = 1\ny = 2\n"
    document = load_text("a.py", source)
    assert [(cell.line, cell.source) for cell in document.cells] == [
        (1, "import os"),
        (5, "\nx = 1"),
        (8, "x = 1"),
        (12, "x = 1\ny = 2"),
    ]


python_lines = st.sampled_from(
    [
        *("# %%", "#%% t", "# %% [markdown]", '# %% tags=["x"]', "x = 1", "    y = 2", "", " "),
        *("# comment", "# !ls", "# %time 1", '"""', "# %% [raw]", "\x0c", "def f():", "# # %%"),
    ]
)


@given(st.lists(python_lines, max_size=12).map("\n".join))
def test_lines_of_any_percent_script(tmp_path_factory: pytest.TempPathFactory, source: str) -> None:
    """Where a line is told, the file has the cell's first line there, but for a magic's '# '."""
    path = tmp_path_factory.mktemp("any") / "a.py"
    path.write_text("# %%\n" + source, encoding="utf-8", newline="")
    document = load(path, args=[])
    lines = ("# %%\n" + source).splitlines()
    for cell in document.cells:
        first = cell.source.splitlines()[0]
        assert cell.line == 0 or lines[cell.line - 1].lstrip("# ") == first.lstrip("# ")


def test_percent_script_with_a_broken_header(load_text: Any) -> None:
    with pytest.raises(UsageError, match=r"a\.py can't be read as a script with cells"):
        load_text("a.py", "# ---\n# jupyter:\n#   a: [\n# ---\n# %%\n1\n")
