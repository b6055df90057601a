"""The embedded server's process: a stock Jupyter Server that ends when jrc does.

Run by its path, with the standard library and jupyter_server only. The first line of stdin is a
JSON object with the settings; stdin then stays open as long as jrc lives. One JSON line on stdout
says the port; the log goes to stderr.
"""

import contextlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from importlib import import_module
from typing import Any

STOP_SECONDS = 12.0
"""After jrc's end: the kernels' own end within it, then this process ends whatever happens."""

_NOT_LOADED = [
    *["rfc3987_syntax", "rfc3987", "webcolors", "isoduration", "uri_template", "fqdn"],
    *["jsonpointer", "rfc3339_validator", "rfc3986_validator", "argcomplete"],
]
"""Optional for the libraries that ask for them: formats of JSON schemas that the server's own
schemas do not use (one of them compiles a grammar for two seconds), shell completion."""


def main() -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.stdin.buffer.readline())
    life, report = _take_streams()
    try:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        # Accepted connections inherit it. Without it a cell's small messages wait for each other.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setblocking(False)
        app = _application(settings, listener.getsockname()[1])
        app.io_loop.add_callback(_serve, app, listener)
        threading.Thread(target=_end_with, args=(life, app), name="life", daemon=True).start()
        with os.fdopen(report, "w") as stdout:
            json.dump({"port": app.port}, stdout)
            stdout.write("\n")
        app.start()
    finally:
        shutil.rmtree(settings["runtime"], ignore_errors=True)
    # The kernels are gone and the log is written; taking the interpreter down would only cost time.
    sys.stderr.flush()
    os._exit(0)


def _take_streams() -> tuple[int, int]:
    """Keep stdin and stdout for ourselves: the kernels inherit neither."""
    life, report = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  pathlib costs time here
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return life, report


def _application(settings: dict[str, Any], port: int) -> Any:
    for name in _NOT_LOADED:
        sys.modules[name] = None  # type: ignore[assignment]
    # By name, so that type checks do not need an optional package.
    server_app: Any = import_module("jupyter_server.serverapp").ServerApp
    config_class: Any = import_module("traitlets.config").Config
    # It reads no configuration of the person's: that belongs to the servers that they start.
    own = {"migrate_config": _nothing, "load_config_file": _nothing}
    embedded_app: Any = type("EmbeddedApp", (server_app,), own)
    config = config_class(
        ServerApp={
            "ip": "127.0.0.1",
            "port": port,
            "root_dir": settings["root"],
            "open_browser": False,
            "allow_root": True,
            "terminals_enabled": False,
            "cookie_secret": os.urandom(32),
        },
        IdentityProvider={"token": settings["token"]},
        # Seconds that a kernel has for its own end.
        KernelManager={"shutdown_wait_time": 2.0},
    )
    config.merge(config_class(settings["config"]))
    app = embedded_app.instance(config=config, runtime_dir=settings["runtime"])
    app.no_browser_open_file = True
    app.initialize(argv=[], find_extensions=False, new_httpserver=False)
    return app


def _nothing(_app: Any, *_: Any, **__: Any) -> None:
    pass


def _serve(app: Any, listener: socket.socket) -> None:
    server_class: Any = import_module("tornado.httpserver").HTTPServer
    sizes = {"max_body_size": app.max_body_size, "max_buffer_size": app.max_buffer_size}
    server = server_class(app.web_app, **sizes)
    server.add_socket(listener)


def _end_with(life: int, app: Any) -> None:
    """Stop when the other end of stdin is closed: jrc is done, or was killed."""
    with contextlib.suppress(OSError):
        while os.read(life, 4096):
            pass
    app.io_loop.add_callback(app.stop)
    time.sleep(STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
