"""Kernelspecs with their logos, from real servers."""

import json
from pathlib import Path

import pytest

from jrc.editor.server_kernelspecs import LARGEST_LOGO, server_kernelspecs
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer, StartJupyter

pytestmark = pytest.mark.anyio


def client(server: JupyterServer) -> ServerClient:
    address, _ = ServerAddress.parse(server.url)
    return ServerClient(address, TokenAuth(Secret(server.token)))


async def test_the_kernels_of_a_server(jupyter: JupyterServer) -> None:
    async with client(jupyter) as server:
        kernels = {kernel.name: kernel for kernel in await server_kernelspecs(server)}
    python = kernels["python3"]
    assert (python.display_name, python.language) == ("Python 3 (ipykernel)", "python")
    assert python.debugger
    assert python.logos["logo-64x64.png"].startswith(b"\x89PNG")


async def test_every_kernelspec_with_the_default_first(
    start_jupyter: StartJupyter, tmp_path: Path
) -> None:
    """But none that jrc wrote: the server may run in the home folder of who connects."""
    for name, metadata in (("aaa", {}), ("ir", {}), ("jrc-x-y", {"jrc": {"profile": "x"}})):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        spec = {
            "argv": ["x"],
            "display_name": name.upper(),
            "language": "R",
            "metadata": metadata,
        }
        (folder / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "kernels" / "ir" / "logo-svg.svg").write_text("<svg/>")
    (tmp_path / "kernels" / "ir" / "logo-64x64.png").write_bytes(b"x" * (LARGEST_LOGO + 1))
    server = start_jupyter(base_url="/team/", env={"JUPYTER_PATH": str(tmp_path)})
    async with client(server) as connected:
        kernels = await server_kernelspecs(connected)
    assert [kernel.name for kernel in kernels] == ["python3", "aaa", "ir"]
    assert kernels[2].logos == {"logo-svg.svg": b"<svg/>"}
    assert kernels[2].display_name == "IR"
