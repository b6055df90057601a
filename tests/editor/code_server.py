"""The companion in a real code-server, with a picture of it. Run by ``nox -s editor`` alone.

``CODE_SERVER_SCREENSHOTS`` names the folder for the pictures. ``CODE_SERVER_JUPYTER`` may name a
VSIX of the Jupyter extension: a cell is then executed through "jrc: remote servers" too.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jrc.cli.editor_commands import EditorOptions, connect_editors, disconnect_editors
from jrc.cli.terminal import Terminal
from jrc.editor.editors import EXTENSION
from jrc.editor.kernelspecs import ServerKernelspec
from jrc.editor.server_kernelspecs import server_kernelspecs
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore
from jrc.server.open import open_profile
from tests.support.browser import Browser
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer, wait_until

SCREENSHOTS = Path(os.environ.get("CODE_SERVER_SCREENSHOTS", "screenshots")).absolute()
JUPYTER_VSIX = os.environ.get("CODE_SERVER_JUPYTER")

pytestmark = pytest.mark.timeout(900)

STATUS_ITEM = f"document.getElementById('{EXTENSION}.jrc.status')?.innerText.trim()"
ROWS = (
    "[...document.querySelectorAll('.quick-input-widget .monaco-list-row')]"
    ".map((row) => row.getAttribute('aria-label')).join('\\n')"
)
CELL = {
    "cell_type": "code",
    "id": "one",
    "metadata": {},
    "source": "print(6 * 7)",
    "outputs": [],
    "execution_count": None,
}
NOTEBOOK = {
    "cells": [CELL],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def code_server(*words: str) -> str:
    done = subprocess.run(["code-server", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def connected(jupyter: JupyterServer) -> Iterator[None]:
    """The server is the profile ``ml``, and connected to code-server."""
    done = run_jrc(
        "login", jupyter.url, "--profile", "ml", "--token-stdin", input=f"{jupyter.token}\n"
    )
    assert done.code == 0, done.stderr
    profile = ProfileStore(Paths.from_environment()).get("ml")

    async def kernels() -> list[ServerKernelspec]:
        async with open_profile(profile) as server:
            return await server_kernelspecs(server)

    found = asyncio.run(kernels())
    connect_editors(profile, found, options=EditorOptions(yes=True), terminal=Terminal())
    yield
    disconnect_editors("ml", terminal=Terminal())
    assert EXTENSION not in code_server("--list-extensions")


@pytest.fixture
def address(connected: None, tmp_path: Path) -> Iterator[str]:
    """A running code-server, with a folder that holds one notebook."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "demo.ipynb").write_text(json.dumps(NOTEBOOK))
    log = tmp_path / "code-server.log"
    words = ["--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry"]
    words += ["--disable-update-check", "--disable-workspace-trust"]
    words += ["--enable-proposed-api", "ms-toolsai.jupyter"]
    with log.open("w") as output:
        process = subprocess.Popen(
            ["code-server", *words, str(tmp_path / "work")],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = wait_until(
            lambda: re.search(r"listening on (http://\S+?)/?\s", log.read_text()), "code-server"
        )
        yield f"{found[1]}/?folder={tmp_path / 'work'}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def browser(address: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser that shows it, once the companion is active; its last picture is kept."""
    with Browser(tmp_path / "chromium") as browser:
        browser.open(address)
        browser.wait_for(STATUS_ITEM, "the companion in the status bar")
        yield browser
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        browser.screenshot(SCREENSHOTS / f"{request.node.name}.png")


def choose(browser: Browser, text: str) -> None:
    """Pick the row that holds a text from a list that shows it, or is about to."""
    browser.wait_for(f"({ROWS}).includes({json.dumps(text)})", text)
    browser.type(text)
    browser.wait_for(first_row_holds(text), text)
    take_first_row(browser)


def search(browser: Browser, key: str, text: str, *, control: bool = False) -> None:
    """Open a search by its key, type, and take what it finds first.

    What can be found depends on what the editor has opened so far: look again until it is there.
    """

    def found() -> bool:
        browser.press("Escape")
        browser.press(key, control=control)
        browser.wait_for("document.activeElement?.closest('.quick-input-widget') !== null", key)
        browser.type(text)
        with suppress(AssertionError):
            return bool(browser.wait_for(first_row_holds(text), text, timeout=5))
        return False

    wait_until(found, text, timeout=120)
    take_first_row(browser)


def first_row_holds(text: str) -> str:
    return f"({ROWS}).split('\\n')[0].includes({json.dumps(text)})"


def take_first_row(browser: Browser) -> None:
    for key in ("ArrowDown", "ArrowUp", "Enter"):
        browser.press(key)


def command(browser: Browser, name: str) -> None:
    """Run a command of the editor."""
    search(browser, "F1", name)


def test_the_companion_is_active_and_knows_the_server(browser: Browser) -> None:
    browser.wait_for(f"{STATUS_ITEM} === 'ml'", "the profile's name")
    command(browser, "jrc: status")
    rows = browser.wait_for(f"({ROWS}).includes('ready') && ({ROWS})", "the server's state")
    assert "ml" in rows


if JUPYTER_VSIX:

    @pytest.fixture(autouse=True)
    def jupyter_extension(home: Path) -> None:
        code_server("--install-extension", JUPYTER_VSIX)

    def test_a_cell_is_executed_on_the_server(
        browser: Browser, jupyter: JupyterServer, tmp_path: Path
    ) -> None:
        """With the Jupyter extension both ways are in the kernel picker; the second is taken."""
        search(browser, "p", "demo.ipynb", control=True)
        # The Jupyter extension suggests the only kernel that it has found: our kernelspec.
        browser.wait_for("document.body.innerText.includes('Python 3 · ml (jrc)')", "kernelspec")
        command(browser, "Notebook: Select Notebook Kernel")
        choose(browser, "Select Another Kernel")
        choose(browser, "jrc: remote servers")
        choose(browser, "ml")
        choose(browser, "Python 3 (ipykernel)")
        chosen = "document.querySelector('.kernel-label')?.innerText.includes('(ipykernel)')"
        browser.wait_for(chosen, "the chosen kernel")
        command(browser, "Notebook: Run All")
        notebook = tmp_path / "work" / "demo.ipynb"

        def output() -> bool:
            command(browser, "File: Save All Files")
            return "42" in json.dumps(json.loads(notebook.read_text())["cells"][0]["outputs"])

        wait_until(output, "the output", timeout=60, every=2)
        (kernel,) = jupyter.rest("GET", "api/kernels")
        jupyter.rest("DELETE", f"api/kernels/{kernel['id']}")
