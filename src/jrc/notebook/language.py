"""The language of the kernel that a run will have, which need not be the document's."""

from jrc.notebook.document import Document

PYTHON = "python"

_PYTHON_TOO = ("ipython", "ipython2", "ipython3", "python2", "python3")
_PYTHON_KERNEL = "python3"
"""ipykernel's own kernelspec, wherever it is installed."""


def normal(language: str | None) -> str:
    """A language as it is compared: lower case, one name for Python; empty for none."""
    name = (language or "").strip().lower()
    return PYTHON if name in _PYTHON_TOO else name


def is_python(language: str | None) -> bool:
    """Whether code of this language may be for an ipykernel. Unknown means yes."""
    return normal(language) in ("", PYTHON)


def certain_language(
    document: Document, kernel: str | None = None, kernel_id: str | None = None
) -> str | None:
    """The language of the kernel, where the server need not be asked; None where it must.

    Args:
        document: what will be executed.
        kernel: name of the kernelspec that the person asked for.
        kernel_id: id of the running kernel that the person asked for.
    """
    if document.kind != "notebook" or kernel == _PYTHON_KERNEL:
        return PYTHON
    named = normal(document.language)
    if kernel_id is not None:
        return PYTHON if named in ("", PYTHON) else None
    if kernel is not None and kernel != document.kernel_name:
        return None
    if document.kernel_language:
        # Who wrote the kernelspec into the document had it from a server.
        return normal(document.kernel_language)
    # The server's default is Python nearly everywhere; other names may be made up by an editor.
    return PYTHON if named in ("", PYTHON) else None
