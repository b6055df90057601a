"""Ids as a person reads and types them: any beginning that no other id has. Pure."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jrc.errors import NotFoundError

if TYPE_CHECKING:
    from jrc.server.models import KernelModel


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


SHORT_ID = 8
"""Characters of a kernel's id that are shown, where they tell it from the others."""


def short_ids(kernels: "list[KernelModel]") -> dict[str, str]:
    """For each kernel's id the shortest prefix that tells it from the others, eight at least."""
    ids = [kernel.id for kernel in kernels]
    short = {}
    for each in ids:
        others = [other for other in ids if other != each]
        size = SHORT_ID
        while size < len(each) and any(other.startswith(each[:size]) for other in others):
            size += 1
        short[each] = each[:size]
    return short


def find_kernel(kernels: "list[KernelModel]", prefix: str) -> "KernelModel":
    """The kernel that a person means.

    Args:
        kernels: those that run.
        prefix: its id, or the beginning of it that no other has.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    found = find_id(prefix, [kernel.id for kernel in kernels], kind="kernel")
    if found is None:
        raise NotFoundError(
            f"No kernel's id begins with {prefix!r}.", hint="See those that run: jrc kernel list"
        )
    return next(kernel for kernel in kernels if kernel.id == found)
