"""Any beginning of an id stands for it, where no other id begins so. Pure."""

from collections.abc import Iterable

from jrc.errors import NotFoundError


def find_id(prefix: str, ids: Iterable[str], *, kind: str) -> str | None:
    """The one id that a person means; None when none begins so.

    Args:
        prefix: the id, or the beginning of it.
        ids: all that there are.
        kind: what they are ids of, ``run`` or ``kernel``.

    Raises:
        NotFoundError: there are several.
    """
    found = sorted({each for each in ids if prefix and each.startswith(prefix)})
    if prefix in found:
        return prefix
    if len(found) > 1:
        raise NotFoundError(
            f"Several {kind}s' ids begin with {prefix!r}: {', '.join(found)}.",
            hint="Type more of the one that you mean.",
        )
    return found[0] if found else None
