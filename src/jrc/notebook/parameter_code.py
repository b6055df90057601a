"""Parameters as source code: how each language writes values and assigns them.

Source: papermill, ``papermill/translators.py``, which is right in most of it.
"""

import keyword
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jrc.errors import UsageError
from jrc.notebook.parameter_values import Value


def assignments(parameters: Mapping[str, Value], language: str) -> str:
    """Source code that assigns the parameters.

    Args:
        parameters: by name.
        language: as kernelspecs name it; case does not matter.

    Raises:
        UsageError: jrc does not write that language, or the language can't express a parameter.
    """
    writer = LANGUAGES.get(language.lower())
    if writer is None:
        raise UsageError(
            f"jrc can't write parameters in the language {language}.",
            hint=f"It writes {', '.join(LANGUAGES)}; -l NAME chooses one of them.",
        )
    lines = ["# Parameters"]
    for name, value in parameters.items():
        variable = writer.variable(name)
        if variable is None:
            raise UsageError(
                f"{name!r} can't be the name of a parameter: {language} has no such names."
            )
        lines.append(f"{variable}{writer.equals}{writer.literal(value)}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Language:
    """How a language writes values.

    Attributes:
        variable: the name under which a parameter is assigned; None when there can be none.
        words: its ``None``, ``True`` and ``False``.
        numbers: its ``nan``, ``inf`` and ``-inf``.
        text: a string literal.
        brackets: around the items of a list.
        mapping: around the items of a mapping, and between key and value; None where it has none.
        separator: between two items.
        equals: between a name and its value.
        nests: whether a list may be in another one.
    """

    variable: Callable[[str], str | None]
    words: tuple[str, str, str]
    numbers: tuple[str, str, str]
    text: Callable[[str], str]
    brackets: tuple[str, str]
    mapping: tuple[str, str, str] | None
    separator: str = ", "
    equals: str = " = "
    nests: bool = True

    def literal(self, value: object) -> str:
        """The source code of a value.

        Raises:
            UsageError: it is of a kind that YAML knows but notebooks have no use for.
        """
        match value:
            case None:
                return self.words[0]
            case bool():
                return self.words[1] if value else self.words[2]
            case float() if math.isnan(value):
                return self.numbers[0]
            case float() if math.isinf(value):
                return self.numbers[1] if value > 0 else self.numbers[2]
            case int() | float():
                return repr(value)
            case str():
                return self.text(value)
            case list() if self.nests or not any(isinstance(v, list) for v in value):
                return self.separator.join(map(self.literal, value)).join(self.brackets)
            case dict() if self.mapping is not None:
                begin, between, end = self.mapping
                items = [f"{self.text(str(k))}{between}{self.literal(v)}" for k, v in value.items()]
                return f"{begin}{self.separator.join(items)}{end}"
            case list() | dict():
                raise UsageError(f"The language of the kernel has no such values: {value!r:.80}.")
        raise UsageError(f"A parameter can't be a {type(value).__name__}: {value!r}.")


def _python_variable(name: str) -> str | None:
    return name if name.isidentifier() and not keyword.iskeyword(name) else None


def _r_variable(name: str) -> str | None:
    # As with papermill: R has no names that begin with an underscore, so it is left out.
    name = name.lstrip("_")
    valid = re.fullmatch(r"(?:[^\W\d_]|\.(?!\d))[\w.]*", name)
    return name if valid and name not in _R_WORDS else None


def _julia_variable(name: str) -> str | None:
    return name if re.fullmatch(r"[^\W\d][\w!]*", name) and name not in _JULIA_WORDS else None


def _bash_variable(name: str) -> str | None:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else None


# fmt: off
_R_WORDS = frozenset({
    "if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
    "NULL", "Inf", "NaN", "NA",
})
_JULIA_WORDS = frozenset({
    "baremodule", "begin", "break", "catch", "const", "continue", "do", "else", "elseif", "end",
    "export", "false", "finally", "for", "function", "global", "if", "import", "let", "local",
    "macro", "module", "quote", "return", "struct", "true", "try", "using", "while",
})
# fmt: on


def _escaped(special: str) -> Callable[[str], str]:
    """Double-quoted literals with C escapes, of a language that reads UTF-8.

    Args:
        special: the characters that need a backslash.
    """

    def literal(text: str) -> str:
        _refuse_odd_text(text)
        return f'"{"".join(map(character, text))}"'

    def character(c: str) -> str:
        if c in special:
            return "\\" + c
        return c if c.isprintable() else {"\n": "\\n"}.get(c, f"\\U{ord(c):08x}")

    return literal


def _bash_text(text: str) -> str:
    _refuse_odd_text(text)
    return shlex.quote(text)


def _refuse_odd_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise UsageError(f"The language of the kernel has no such text: {text!r}.")


LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        _python_variable,
        ("None", "True", "False"),
        ("float('nan')", "float('inf')", "float('-inf')"),
        repr,
        ("[", "]"),
        ("{", ": ", "}"),
    ),
    "r": Language(
        _r_variable,
        ("NULL", "TRUE", "FALSE"),
        ("NaN", "Inf", "-Inf"),
        _escaped('\\"'),
        ("list(", ")"),
        ("list(", " = ", ")"),
    ),
    "julia": Language(
        _julia_variable,
        ("nothing", "true", "false"),
        ("NaN", "Inf", "-Inf"),
        _escaped('\\"$'),
        ("[", "]"),
        ("Dict(", " => ", ")"),
    ),
    "bash": Language(
        _bash_variable,
        ("", "true", "false"),
        ("nan", "inf", "-inf"),
        _bash_text,
        ("(", ")"),
        None,
        separator=" ",
        equals="=",
        nests=False,
    ),
}
"""The languages whose parameters jrc writes, by their name in lower case."""
