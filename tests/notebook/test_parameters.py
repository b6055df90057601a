"""Parameters mean what they mean to papermill; its own code is the oracle."""

import copy
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import NotFoundError, UsageError
from jrc.notebook.document import Document, load
from jrc.notebook.parameter_values import WORDS as NO_TEXT
from jrc.notebook.parameter_values import Given, parse_value, read_parameters
from jrc.notebook.parameters import (
    LANGUAGES,
    Place,
    assignments,
    names_of,
    parameterize,
    parameters_of,
)
from jrc.options import words_of

# Its command line asks what stdin is, and its models use what pydantic deprecates.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from papermill.cli import _resolve_type
    from papermill.iorw import read_yaml_file
    from papermill.parameterize import parameterize_notebook
    from papermill.translators import PythonTranslator, translate_parameters


def values_of(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    del names["__builtins__"]
    return names


def same(one: Any, other: Any) -> bool:
    """Equality of values and their types in which nan equals nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    return bool(one == other)


WORDS = [
    *(
        "None",
        "True",
        "False",
        "none",
        "TRUE",
        "yes",
        "1",
        "-1",
        "+1",
        "1_000",
        " 7 ",
        "007",
        "0x10",
    ),
    *("1.5", "1e5", "-.5", "nan", "inf", "-inf", "Infinity", "1,5", "", " ", "1 2", "[1, 2]"),
    *("{'a': 1}", "text", "é", "٣", "1j", "None ", "2024-01-01", "1" * 400, "'quoted'"),
]


@pytest.mark.parametrize("word", WORDS)
def test_words_mean_what_papermill_makes_of_them(word: str) -> None:
    assert same(parse_value(word), _resolve_type(word))


@given(st.text(alphabet="0123456789+-._eEnaifNTrueFlso x", max_size=8))
def test_any_word_means_what_papermill_makes_of_it(word: str) -> None:
    assert word in NO_TEXT or same(parse_value(word), _resolve_type(word))


def test_words_that_papermill_leaves_as_text() -> None:
    """``-p flag false`` would be a text that counts as true."""
    words = {word: parse_value(word) for word in ("true", "false", "null")}
    assert words == {"true": True, "false": False, "null": None}
    assert {word for word in NO_TEXT if _resolve_type(word) == word} == set(words)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.from_regex(r"[a-z_]{1,6}", fullmatch=True).filter(lambda name: name.isidentifier())


@given(st.dictionaries(names.map(lambda name: "p_" + name), json_values, max_size=4))
def test_python_values_are_those_of_papermill(parameters: dict[str, Any]) -> None:
    """Executing our cell gives the values that executing papermill's gives."""
    with warnings.catch_warnings():
        # papermill escapes some text so that Python warns of the escape.
        warnings.simplefilter("ignore")
        theirs = values_of(translate_parameters("python3", "python", parameters))
    assert same(values_of(assignments(parameters, "python")), theirs)


@given(st.text(st.characters(codec=None), max_size=20))
def test_python_text_survives(text: str) -> None:
    """Any text at all, lone surrogates, quotes and line ends included."""
    assert values_of(assignments({"x": text}, "python")) == {"x": text}


def notebook(*cells: tuple[str, list[str]], language: str = "python") -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "x", "language": language},
            "papermill": {"kept": True},
        },
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": {"tags": tags},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, (source, tags) in enumerate(cells)
        ],
    }


@pytest.fixture
def document_of(tmp_path: Path) -> Any:
    def make(*cells: tuple[str, list[str]], language: str = "python") -> Document:
        path = tmp_path / "a.ipynb"
        path.write_text(json.dumps(notebook(*cells, language=language)), encoding="utf-8")
        return load(path, args=[])

    return make


PLACES = {
    "defaults": ([("import x", []), ("a = 1", ["x", "parameters"]), ("b", [])], "BEHIND_DEFAULTS"),
    "two defaults": ([("a = 1", ["parameters"]), ("a = 2", ["parameters"])], "BEHIND_DEFAULTS"),
    "none": ([("a = 1", []), ("b", ["other"])], "TOP"),
    "empty": ([], "TOP"),
    "again": (
        [("a = 1", ["parameters"]), ("x", []), ("a = 2", ["injected-parameters"])],
        "REPLACED",
    ),
    "again without defaults": ([("a = 2", ["injected-parameters"]), ("a", [])], "REPLACED"),
}


@pytest.mark.parametrize(("cells", "place"), PLACES.values(), ids=PLACES)
def test_cell_goes_where_papermill_puts_it(
    document_of: Any, cells: list[tuple[str, list[str]]], place: str
) -> None:
    """Behind the defaults, instead of an earlier one, or at the top; nothing else moves."""
    parameters: dict[str, Any] = {"a": 5, "names": ["x", {"y": None}]}
    document = document_of(*cells)
    theirs = nbformat.from_dict(copy.deepcopy(document.notebook))
    theirs = parameterize_notebook(theirs, parameters)
    assert parameterize(document, parameters) is Place[place]
    nbformat.validate(copy.deepcopy(document.notebook))
    ours = document.notebook["cells"]
    assert [cell["metadata"] for cell in ours] == [cell.metadata for cell in theirs.cells]
    for mine, other in zip(ours, theirs.cells, strict=True):
        if "injected-parameters" in mine["metadata"]["tags"]:
            assert values_of(mine["source"]) == values_of(other.source)
        else:
            assert mine["source"] == other.source
    assert document.notebook["metadata"]["jrc"] == {"parameters": parameters}
    assert document.notebook["metadata"]["papermill"] == {"kept": True}
    assert [cell.source for cell in document.cells] == [cell["source"] for cell in ours]


def test_source_is_readable(document_of: Any) -> None:
    document = document_of(("a = 1", ["parameters"]))
    parameterize(document, {"a": 5, "text": "it's", "big": [1, 2.5, None]})
    assert document.cells[1].source == '# Parameters\na = 5\ntext = "it\'s"\nbig = [1, 2.5, None]\n'


def test_no_parameters_change_nothing(document_of: Any) -> None:
    document = document_of(("a = 1", ["parameters"]))
    before = copy.deepcopy(document.notebook)
    assert parameterize(document, {}) is None
    assert document.notebook == before


def test_numbers_that_are_not_finite(document_of: Any) -> None:
    """They reach the code; the notebook's JSON stays one that every reader accepts."""
    document = document_of()
    parameterize(document, {"x": float("nan"), "y": [float("-inf")]})
    assert values_of(document.cells[0].source)["y"] == [float("-inf")]
    json.dumps(document.notebook, allow_nan=False)


def test_percent_script_takes_parameters(tmp_path: Path) -> None:
    """The lines of the other cells stay those of the file."""
    path = tmp_path / "a.py"
    path.write_text('# %% tags=["parameters"]\na = 1\n\n# %%\nprint(a)\n', encoding="utf-8")
    document = load(path, args=[])
    assert parameterize(document, {"a": 2}) is Place.BEHIND_DEFAULTS
    assert [(cell.line, cell.source) for cell in document.cells] == [
        (2, "a = 1"),
        (0, "# Parameters\na = 2\n"),
        (5, "print(a)"),
    ]


def test_plain_script_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("print(1)", encoding="utf-8")
    with pytest.raises(UsageError, match="plain script") as caught:
        parameterize(load(path, args=[]), {"a": 2})
    assert str(caught.value.hint).endswith(f"jrc run {path} ARGS…")


NESTED = {
    "n": None,
    "yes": True,
    "no": False,
    "i": -3,
    "f": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "minf": float("-inf"),
    "s": 'a "b" $c \\ \n é \x07',
    "l": [1, ["x"]],
    "d": {"k": {"l": None}, "m": []},
}


def test_r() -> None:
    assert assignments(NESTED, "R").splitlines() == [
        "# Parameters",
        "n = NULL",
        "yes = TRUE",
        "no = FALSE",
        "i = -3",
        "f = 1.5",
        "nan = NaN",
        "inf = Inf",
        "minf = -Inf",
        r's = "a \"b\" $c \\ \n é \U00000007"',
        'l = list(1, list("x"))',
        'd = list("k" = list("l" = NULL), "m" = list())',
    ]
    assert assignments({"_hidden": 1, "a.b": 2}, "r") == "# Parameters\nhidden = 1\na.b = 2\n"


def test_julia() -> None:
    assert assignments(NESTED, "julia").splitlines() == [
        "# Parameters",
        "n = nothing",
        "yes = true",
        "no = false",
        "i = -3",
        "f = 1.5",
        "nan = NaN",
        "inf = Inf",
        "minf = -Inf",
        r's = "a \"b\" \$c \\ \n é \U00000007"',
        'l = [1, ["x"]]',
        'd = Dict("k" => Dict("l" => nothing), "m" => [])',
    ]


def test_bash() -> None:
    plain = {key: value for key, value in NESTED.items() if key not in ("l", "d")}
    assert assignments({**plain, "l": [1, "a b"], "e": []}, "bash").splitlines() == [
        "# Parameters",
        "n=",
        "yes=true",
        "no=false",
        "i=-3",
        "f=1.5",
        "nan=nan",
        "inf=inf",
        "minf=-inf",
        's=\'a "b" $c \\ ',
        " é \x07'",
        "l=(1 'a b')",
        "e=()",
    ]
    for value in ({"k": 1}, [[1]]):
        with pytest.raises(UsageError, match="has no such values"):
            assignments({"a": value}, "bash")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_bash_is_that_of_papermill(text: str) -> None:
    """Any text at all, and what goes around it."""
    plain = {"a": 1, "b": True, "c": None, "d": text, "e": [1, text], "f": 2.5}
    assert assignments(plain, "bash") == translate_parameters("bash", "bash", plain)


@pytest.mark.skipif(sys.platform == "win32", reason="bash is no part of this system")
def test_bash_reads_what_was_written() -> None:
    """Each text is one word to bash, and nothing in it is executed."""
    texts = [
        "",
        " a  b ",
        "it's",
        '"$HOME" `x` $(x) \\ !',
        "a\nb\tc",
        "-n",
        "é ☃",
        "*",
        "a;b|c&d#e",
    ]
    code = assignments({"x": texts}, "bash")
    done = subprocess.run(
        ["bash", "-c", code + "printf '%s\\0' \"${x[@]}\""], capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == texts


@pytest.mark.parametrize(("language", "kernel"), [("R", "ir"), ("julia", "julia-1.10")])
def test_other_languages_are_those_of_papermill(language: str, kernel: str) -> None:
    """Where papermill's code is right in these languages, ours is the same."""
    plain = {"a": 1, "b": True, "c": None, "d": 'text \\ "x"', "e": [1, {"k": 2.5}], "f": []}
    assert assignments(plain, language) == translate_parameters(kernel, language, plain)


def test_language_of_the_document_or_of_the_kernel(document_of: Any) -> None:
    document = document_of(language="R")
    parameterize(document, {"a": None})
    assert document.cells[0].source == "# Parameters\na = NULL\n"
    document = document_of()
    parameterize(document, {"a": None}, language="julia")
    assert document.cells[0].source == "# Parameters\na = nothing\n"


def test_language_that_jrc_does_not_write(document_of: Any) -> None:
    with pytest.raises(UsageError, match="the language scala") as caught:
        parameterize(document_of(language="scala"), {"a": 1})
    assert caught.value.hint == "It writes python, r, julia, bash; -l NAME chooses one of them."


@pytest.mark.parametrize(
    ("language", "name"),
    [
        *(("python", name) for name in ("a b", "1a", "", "class", "a=1;b", "a.b", "x\ny")),
        *(("r", name) for name in ("a b", "1a", "_", "if", ".2x", "a-b", "TRUE")),
        *(("julia", name) for name in ("a b", "1a", "", "end", "a.b", "x;y")),
        *(("bash", name) for name in ("a b", "1a", "", "é", "a.b", "x;y", "a\n")),
    ],
)
def test_names_that_are_no_names(language: str, name: str) -> None:
    """A name can't smuggle code in."""
    with pytest.raises(UsageError, match="can't be the name of a parameter"):
        assignments({name: 1}, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_that_are_no_values(language: str) -> None:
    with pytest.raises(UsageError, match="can't be a bytes"):
        assignments({"a": b"x"}, language)  # type: ignore[dict-item]


@pytest.mark.parametrize("language", ["r", "julia", "bash"])
@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_a_language_does_not_have(language: str, text: str) -> None:
    with pytest.raises(UsageError, match="no such text"):
        assignments({"a": text}, language)


INSPECTED = [
    "a = 1",
    "a = 1  # rounds",
    "a: int = 1",
    "a: List[int] = [1]  # some",
    "a = None  # type: str  who it is",
    "a = None  # type: str",
    "# a comment\n\na = 'x'\nb = True",
    "a: 'int' = 3",
    "import os\n_x1 = os.sep",
]


@pytest.mark.parametrize("source", INSPECTED)
def test_a_cell_of_parameters_is_read_as_papermill_reads_it(source: str) -> None:
    theirs = [
        (p.name, "" if p.inferred_type_name == "None" else p.inferred_type_name, p.default, p.help)
        for p in PythonTranslator.inspect({"source": source})
    ]
    assert theirs
    assert [tuple(parameter) for parameter in parameters_of(source, "python")] == theirs


def test_what_a_cell_sets() -> None:
    """Where papermill reads lines, the syntax tells more."""
    source = "a = b = 1\nc, d = 1, 2\nif a:\n    e = 3\nf = [\n    1,  # one\n    2,\n]\na += 1\n"
    assert names_of(source, "python") == set("abcdef")
    assert parameters_of(source, "python")[-1].default == "[1, 2]"
    assert names_of("%load_ext x\na = 1\nb: int = 2 # no\nif a == 1: pass\n", "python") == set("ab")
    assert names_of("'\\d'\nx = '\\d'", "python") == {"x"}
    assert names_of("(" * 5000, "python") == set()
    assert names_of("a <- 1\nb.c = 2\n# d <- 3\n", "r") == {"a", "b.c"}
    assert names_of("a=1\nexport b='x y'\n[ $a == 1 ]\n", "bash") == {"a", "b"}


@pytest.mark.parametrize(
    ("cells", "names", "said"),
    [
        ([("alpha = 1\nbeta = 2", ["parameters"])], ["alpha"], []),
        (
            [("alpha = 1\nbeta = 2", ["parameters"])],
            ["alphas", "beta", "gamma"],
            ["'parameters' of a.ipynb does not set 'alphas', 'gamma'. It sets alpha, beta."],
        ),
        ([("# none", ["parameters"])], ["a"], ["does not set 'a'. It sets nothing."]),
        ([("alpha = 1", ["parameters"])], ["PAPERMILL_INPUT_PATH"], []),
        ([("a", [])], ["a"], ["No cell of a.ipynb is tagged 'parameters'"]),
        ([("a", ["injected-parameters"])], ["a"], []),
    ],
)
def test_unknown_parameters_are_named(
    document_of: Any, cells: list[tuple[str, list[str]]], names: list[str], said: list[str]
) -> None:
    """papermill warns of the same ones."""
    document = document_of(*cells)
    parameterize(document, dict.fromkeys(names, 1))
    assert [kind for kind, _ in document.notices] == ["parameters"] * len(said)
    for (_, text), words in zip(document.notices, said, strict=True):
        assert words in text


def test_the_cell_of_a_language_that_is_not_understood_is_not_judged(document_of: Any) -> None:
    document = document_of(("SELECT 1", ["parameters"]), language="R")
    parameterize(document, {"a": 1})
    assert document.notices == []


def test_the_notebook_may_hold_anything_where_parameters_are_kept(document_of: Any) -> None:
    document = document_of()
    document.notebook["metadata"]["jrc"] = "odd"
    parameterize(document, {"a": 1})
    assert document.notebook["metadata"]["jrc"] == {"parameters": {"a": 1}}


YAML = """
epochs: 3
rate: 1.0e-3
text: yes it is
flag: yes
none: ~
date: 2024-01-02
time: 2024-01-02 03:04:05
nested: {a: [1, two, 3.5], 7: seven}
"""


def test_yaml_file_is_read_as_papermill_reads_it(tmp_path: Path) -> None:
    """Dates stay text; the command line wins over the file."""
    path = tmp_path / "p.yaml"
    path.write_text(YAML, encoding="utf-8")
    in_file = read_parameters(Given(files=[path]))
    assert in_file == read_yaml_file(str(path))
    assert in_file["date"] == "2024-01-02"
    said = [("epochs", "4"), ("new", "None"), ("epochs", "5")]
    merged = read_parameters(Given(values=said, files=[path]))
    assert (merged["epochs"], merged["new"], merged["rate"]) == (5, None, 0.001)
    assert list(merged)[:2] == ["epochs", "rate"]


def test_json_and_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "p.JSON"
    path.write_text('\ufeff{"a": [1, null], "b": "é"}', encoding="utf-8")
    assert read_parameters(Given(files=[path])) == {"a": [1, None], "b": "é"}
    empty = tmp_path / "empty.yml"
    empty.write_text("# nothing\n", encoding="utf-8")
    assert read_parameters(Given(values=[("a", "1")], files=[empty])) == {"a": 1}
    assert read_parameters(Given()) == {}


def test_every_source_of_parameters_in_the_order_of_papermill(tmp_path: Path) -> None:
    """The last file wins over the first, and each kind of option over the one before."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.json"
    first.write_text("{a: 1, b: 1, c: 1, d: 1, e: 1, x: 1}", encoding="utf-8")
    second.write_text('{"b": 2, "y": {"deep": [null]}}', encoding="utf-8")
    given = Given(
        base64=["e2E6IDAsIGI6IDAsIHo6\nIDB9"],
        files=[first, second],
        yaml=["c: 3", "{d: 3, e: 3}"],
        values=[("d", "4"), ("e", "4")],
        raw=[("e", "007"), ("n", "null")],
    )
    assert read_parameters(given) == {
        **{"a": 1, "b": 2, "c": 3, "d": 4, "e": "007"},
        **{"x": 1, "y": {"deep": [None]}, "z": 0, "n": "null"},
    }
    assert words_of(given) == [
        *("-p", "d", "4", "-p", "e", "4", "-f", str(first), "-f", str(second)),
        *("-r", "e", "007", "-r", "n", "null", "-y", "c: 3", "-y", "{d: 3, e: 3}"),
        *("-b", given.base64[0]),
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            Given(yaml=["a: [1"]),
            "The text of -y can't be read: while parsing a flow sequence: "
            "expected ',' or ']', but got '<stream end>' (line 1, column 6).",
        ),
        (Given(yaml=["[1]"]), "The text of -y holds no parameters"),
        (Given(base64=["%"]), "The text of -b is no base64"),
        (Given(base64=["//79"]), "The text of -b can't be read"),
        (Given(yaml=["a: &x [*x]"]), "can't be read: a value in it contains itself"),
        (Given(yaml=["a: &x {b: {c: *x}}"]), "can't be read: a value in it contains itself"),
        (Given(yaml=["a: " + "[" * 101 + "]" * 101]), "nested more than 100 levels deep"),
        (Given(yaml=["a: " + "[" * 5000 + "]" * 5000]), "is nested too deeply"),
        (
            Given(
                yaml=[
                    "l0: &l0 [1]\n"
                    + "".join(
                        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9)
                    )
                ]
            ),
            "it holds more than 1,000,000 values",
        ),
    ],
)
def test_broken_texts(given: Given, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_parameters(given)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.yaml", b"a: [1", "can't be read: while parsing"),
        ("a.yaml", b"- 1\n- 2\n", "holds no parameters"),
        ("a.yaml", b"just text", "holds no parameters"),
        ("a.yaml", b"1: one", "holds no parameters"),
        ("a.yaml", b"a: !!python/object:os.system x", "can't be read: could not determine"),
        ("a.json", b"{'a': 1}", "can't be read: Expecting property name"),
        ("a.json", b'{"a": ' + b"[" * 100_000, "can't be read"),
        ("a.yaml", b"\xff\xfe", "can't be read"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_parameters(Given(files=[path]))
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert os.linesep not in caught.value.message


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_parameters(Given(files=[tmp_path / "none.yaml"]))
