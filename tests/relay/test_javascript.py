"""The relay under the libraries with which VS Code speaks to kernels."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.relay import Kernel

HERE = Path(__file__).parent / "javascript"


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript tests and what they need."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail("Node.js with npm is missing: install Node.js 20 or later, nodejs.org")
    folder = tmp_path_factory.mktemp("javascript") / "relay"
    shutil.copytree(HERE, folder)
    npm = shutil.which("npm") or "npm"
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.timeout(400)
def test_jupyterlab_services_and_zeromq(javascript: Path, kernel: Kernel) -> None:
    ended = subprocess.run(
        ["node", "--test", "--test-timeout=120000", "relay.test.js"],
        cwd=javascript,
        env={**os.environ, "CONNECTION_FILE": kernel.manager.connection_file},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
