"""Peer: nbclient over jupyter_server's gateway client.

``python gateway_peer.py URL NOTEBOOK OUT``, with the token in ``JRC_TOKEN``.
"""

import argparse
import asyncio
import functools
import os
from pathlib import Path

import nbformat
import websocket
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient

CELL_SECONDS = 300


async def execute(notebook: Path, out: Path) -> None:
    document = nbformat.read(notebook, as_version=4)
    manager = GatewayKernelManager(kernel_name="python3")
    client = NotebookClient(document, km=manager, timeout=CELL_SECONDS)
    await client.async_execute()
    nbformat.write(document, out)
    assert client.kc is not None
    client.kc.stop_channels()
    await manager.shutdown_kernel(now=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    token = os.environ["JRC_TOKEN"]
    GatewayClient.instance(url=options.url.rstrip("/"), auth_token=token)
    # Upstream sends no token with the websocket.
    websocket.create_connection = functools.partial(
        websocket.create_connection, header=[f"Authorization: token {token}"]
    )
    asyncio.run(execute(options.notebook, options.out))


if __name__ == "__main__":
    main()
