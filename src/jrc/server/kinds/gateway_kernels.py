"""The kernels that jrc started on gateways: most gateways refuse to list those that run."""

import json
from pathlib import Path

from jrc.profile.files import locked, write_atomically
from jrc.profile.paths import Paths

Kernels = dict[str, str]
"""By the kernel's id: the path of the document that it was started for."""


class RememberedKernels:
    """A file of kernels by gateway. Losing it loses no kernel, so an unreadable one is empty.

    Args:
        paths: where the file is.
        base_url: the gateway.
    """

    def __init__(self, paths: Paths, base_url: str) -> None:
        self._path: Path = paths.state / "gateway-kernels.json"
        self._base_url = base_url

    def all(self) -> Kernels:
        """Those of this gateway that were not forgotten yet; the last started one is the last."""
        return self._read().get(self._base_url, {})

    def add(self, kernel_id: str, path: str) -> None:
        """Remember one.

        Raises:
            ConfigError: the file can't be written.
        """
        with locked(self._path):
            gateways = self._read()
            gateways.setdefault(self._base_url, {})[kernel_id] = path
            self._write(gateways)

    def forget(self, *kernel_ids: str) -> None:
        """Forget some: they ended.

        Raises:
            ConfigError: the file can't be written.
        """
        if not self.all().keys() & set(kernel_ids):
            return
        with locked(self._path):
            gateways = self._read()
            kernels = gateways.get(self._base_url, {})
            for kernel_id in kernel_ids:
                kernels.pop(kernel_id, None)
            if not kernels:
                gateways.pop(self._base_url, None)
            self._write(gateways)

    def _read(self) -> dict[str, Kernels]:
        try:
            value = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {
            str(url): {str(key): str(path) for key, path in kernels.items()}
            for url, kernels in value.items()
            if isinstance(kernels, dict)
        }

    def _write(self, gateways: dict[str, Kernels]) -> None:
        write_atomically(self._path, json.dumps(gateways, indent=2) + "\n", private=True)
