"""The connection file that an editor writes before it starts a kernel.

Source: jupyter_client "Making kernels for Jupyter", section "Connection files".
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jrc.errors import ConfigError

CHANNELS = ("shell", "control", "stdin", "iopub", "hb")


@dataclass(frozen=True)
class ConnectionFile:
    """Where a kernel must listen, and the key that signs its messages.

    Attributes:
        endpoints: ZMQ address of each of ``CHANNELS``.
        key: the shared secret; empty for none.
        scheme: how to sign, for example ``hmac-sha256``.
        curve: public and secret key with which the sockets encrypt; None for no encryption.
    """

    endpoints: dict[str, str]
    key: bytes = field(repr=False)
    scheme: str
    curve: tuple[bytes, bytes] | None = field(default=None, repr=False)


def read_connection_file(path: Path) -> ConnectionFile:
    """Read a connection file.

    Raises:
        ConfigError: it can't be read, or lacks a port.
    """
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"Can't read the connection file {path}: {error.strerror or error}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"The connection file {path} is not JSON.") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"The connection file {path} is not a JSON object.")
    transport, ip = fields.get("transport", "tcp"), fields.get("ip", "127.0.0.1")
    # The file system has no ports: there they are numbers behind a common name.
    separator = "-" if transport == "ipc" else ":"
    endpoints = {}
    for channel in CHANNELS:
        port = fields.get(f"{channel}_port")
        if not isinstance(port, int) or port <= 0:
            raise ConfigError(f"The connection file {path} has no {channel}_port.")
        endpoints[channel] = f"{transport}://{ip}{separator}{port}"
    return ConnectionFile(
        endpoints=endpoints,
        key=str(fields.get("key", "")).encode(),
        scheme=str(fields.get("signature_scheme") or "hmac-sha256"),
        curve=_curve_keys(fields),
    )


def _curve_keys(fields: dict[str, Any]) -> tuple[bytes, bytes] | None:
    public, secret = fields.get("curve_publickey"), fields.get("curve_secretkey")
    if not isinstance(public, str) or not isinstance(secret, str):
        return None
    return public.encode(), secret.encode()
