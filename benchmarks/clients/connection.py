"""The connection file of a local kernel, and the kernel that listens there."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def write_connection_file(path: Path) -> None:
    """Write a connection file with free ports and a random key."""
    sockets = [socket.socket() for _ in PORTS]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    connection = {
        **dict(zip(PORTS, ports, strict=True)),
        "ip": "127.0.0.1",
        "transport": "tcp",
        "key": os.urandom(16).hex(),
        "signature_scheme": "hmac-sha256",
    }
    path.write_text(json.dumps(connection))


def kernel_command(connection: Path) -> list[str]:
    """The argv of an ipykernel that listens where the file says."""
    return [sys.executable, "-m", "ipykernel_launcher", "-f", str(connection)]


def start_kernel(connection: Path) -> subprocess.Popen[bytes]:
    """Start a kernel that listens where the new file ``connection`` says."""
    write_connection_file(connection)
    return subprocess.Popen(
        kernel_command(connection),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
