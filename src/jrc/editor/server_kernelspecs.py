"""Asks a server for its kernelspecs and their logos, which editors show."""

from urllib.parse import urlsplit

from jrc.editor.kernelspecs import ServerKernelspec
from jrc.errors import JrcError, ProtocolError
from jrc.server.client import ServerClient
from jrc.shapes import map_at, text_at, value_at

LARGEST_LOGO = 512 * 1024
"""Bytes. A logo usually has five thousand. Larger ones are not written to people's homes."""


async def server_kernelspecs(server: ServerClient) -> list[ServerKernelspec]:
    """The kernelspecs of a server, its default one first.

    Those that jrc wrote are left out: where the server runs in the home folder of the person who
    connects, it lists them, and each connect would make relays to relays.

    Raises:
        AuthError, UnreachableError, ProtocolError: as every request of the client.
    """
    answer = await server.request("GET", "api", "kernelspecs")
    specs = map_at(answer, "kernelspecs")
    if not specs:
        raise ProtocolError(f"{server.address.base_url} offers no kernels.")
    default = text_at(answer, "default")
    names = sorted(map(str, specs), key=lambda name: (name != default, name))
    return [
        await _kernel(server, name, specs[name])
        for name in names
        if "jrc" not in map_at(specs[name], "spec", "metadata")
    ]


async def _kernel(server: ServerClient, name: str, entry: object) -> ServerKernelspec:
    logos = {}
    for url in map_at(entry, "resources").values():
        file = urlsplit(str(url)).path.rpartition("/")[2]
        if file.startswith("logo-"):
            content = await _logo(server, name, file)
            if content:
                logos[file] = content
    return ServerKernelspec(
        name=name,
        display_name=text_at(entry, "spec", "display_name") or name,
        language=text_at(entry, "spec", "language") or "python",
        debugger=value_at(entry, ("spec", "metadata", "debugger")) is True,
        logos=logos,
    )


async def _logo(server: ServerClient, kernel: str, file: str) -> bytes | None:
    try:
        content = await server.download("kernelspecs", kernel, file)
    except JrcError:
        # The kernel works without its logo.
        return None
    return content if len(content) <= LARGEST_LOGO else None
