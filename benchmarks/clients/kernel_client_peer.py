"""Peer: jupyter_kernel_client as a notebook runner.

``python kernel_client_peer.py [--kernel-id ID] URL NOTEBOOK OUT``, with the token in ``JRC_TOKEN``.
Its ``stop()`` waits up to ten seconds for a thread; here the process leaves without it, which is to
its advantage.
"""

import argparse
import json
import os
from pathlib import Path

from jupyter_kernel_client import JupyterKernelClient

CELL_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel-id")
    parser.add_argument("url")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    document = json.loads(options.notebook.read_bytes())
    client = JupyterKernelClient(
        server_url=options.url.rstrip("/"),
        token=os.environ["JRC_TOKEN"],
        kernel_id=options.kernel_id,
    )
    client.start()
    for cell in document["cells"]:
        reply = client.execute(cell["source"], timeout=CELL_SECONDS)
        cell["execution_count"] = reply["execution_count"]
        cell["outputs"] = reply["outputs"]
    if options.kernel_id is None:
        client._manager.shutdown_kernel(now=True)
    options.out.write_text(json.dumps(document))
    os._exit(0)


if __name__ == "__main__":
    main()
