"""A Chromium without a window, told what to do through its DevTools protocol."""

import base64
import json
import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.jupyter import wait_until

_KEYS = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "F1": 112}
_CONTROL = 2


class Browser:
    """One page of one browser.

    Args:
        folder: where the browser keeps its profile.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.fail("chromium is not on the search path. Debian: apt-get install chromium")
        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                "--window-size=1280,800",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port_file = folder / "DevToolsActivePort"
        wait_until(lambda: port_file.exists() and port_file.read_text().strip(), "chromium")
        port = port_file.read_text().split()[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._held = ExitStack()
        self._page: ClientConnection = self._held.enter_context(
            connect(address, max_size=None, compression=None, proxy=None, ping_interval=None)
        )
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def open(self, url: str) -> None:
        """Go to a page."""
        self._ask("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, script: str, what: str, *, timeout: float = 90) -> Any:
        """The value of an expression, once it is true."""
        return wait_until(lambda: self.evaluate(script), what, timeout=timeout, every=0.2)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press a key: one of ``Enter`` and so on, or a letter with Control."""
        code = _KEYS.get(key) or ord(key.upper())
        details = {
            "key": key,
            "code": key if key in _KEYS else f"Key{key.upper()}",
            "windowsVirtualKeyCode": code,
            "modifiers": _CONTROL if control else 0,
        }
        self._ask("Input.dispatchKeyEvent", type="rawKeyDown", **details)
        if key == "Enter":
            self._ask("Input.dispatchKeyEvent", type="char", text="\r", **details)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **details)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._ask("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Save a picture of the page as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        self._page.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._page.recv(timeout=60))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
