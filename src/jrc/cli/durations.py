"""Durations as people type them: ``90``, ``90s``, ``10m``, ``2h``, ``1h30m``. Pure."""

import re

import typer

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_PART = rf"({_NUMBER})([smhd])"
_WHOLE = re.compile(rf"{_NUMBER}|(?:{_PART})+")


def seconds(value: str | float) -> float:
    """A duration in seconds: the parser of every option that takes one.

    Raises:
        typer.BadParameter: it is none.
    """
    text = str(value).strip().lower()
    if _WHOLE.fullmatch(text) is None:
        raise typer.BadParameter(f"'{value}' is no duration. Type it as 90, 90s, 10m or 2h.")
    parts = re.findall(_PART, text) or [(text, "")]
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
