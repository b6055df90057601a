"""What an editor shows of a server: its kernelspecs with their logos."""

from urllib.parse import urlsplit

from jrc.editor.kernelspecs import RemoteKernel
from jrc.errors import JrcError, ProtocolError
from jrc.server.client import ServerClient

LARGEST_LOGO = 512 * 1024
"""Bytes. A logo has five thousand; what is larger is not fetched into people's home folders."""


async def remote_kernels(server: ServerClient) -> list[RemoteKernel]:
    """The kernelspecs of a server, its default one first.

    Those that jrc wrote are left out: where the server runs in the home folder of the person who
    connects, it lists them, and each connect would make relays to relays.

    Raises:
        AuthError, UnreachableError, ProtocolError: as every request of the client.
    """
    answer = _table(await server.request("GET", "api", "kernelspecs"))
    specs = _table(answer.get("kernelspecs"))
    if not specs:
        raise ProtocolError(f"{server.address.base_url} offers no kernels.")
    default = answer.get("default")
    names = sorted(map(str, specs), key=lambda name: (name != default, name))
    entries = {name: _table(specs[name]) for name in names}
    return [
        await _kernel(server, name, entry)
        for name, entry in entries.items()
        if "jrc" not in _metadata(entry)
    ]


async def _kernel(server: ServerClient, name: str, entry: dict[str, object]) -> RemoteKernel:
    spec = _table(entry.get("spec"))
    logos = {}
    for url in _table(entry.get("resources")).values():
        file = urlsplit(str(url)).path.rpartition("/")[2]
        if file.startswith("logo-"):
            content = await _logo(server, name, file)
            if content:
                logos[file] = content
    return RemoteKernel(
        name=name,
        display_name=str(spec.get("display_name") or name),
        language=str(spec.get("language") or "python"),
        debugger=_metadata(entry).get("debugger") is True,
        logos=logos,
    )


def _metadata(entry: dict[str, object]) -> dict[str, object]:
    return _table(_table(entry.get("spec")).get("metadata"))


async def _logo(server: ServerClient, kernel: str, file: str) -> bytes | None:
    try:
        content = await server.download("kernelspecs", kernel, file)
    except JrcError:
        # A kernel is as good without its picture.
        return None
    return content if len(content) <= LARGEST_LOGO else None


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
