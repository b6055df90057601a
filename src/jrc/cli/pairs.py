"""Words of a command line that have two parts."""

from collections.abc import Iterable

from jrc.errors import UsageError


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a dict.

    Args:
        words: what was given behind the option, each time that it was given.
        option: its name, for the error.

    Raises:
        UsageError: one has no name or no ``=``.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} takes NAME=VALUE.", hint=f"{option} NAME=VALUE")
        found[name] = value
    return found
