"""Write docs/servers.md from the results of the conformance tests: ``nox -s servers``."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

KINDS = {
    "server": "Jupyter Server, newest",
    "server-1": "Jupyter Server 1.24",
    "password": "… with a password and a prefix",
    "open": "… without token or password",
    "no-tracebacks": "… with `allow_tracebacks=False`",
    "proxied": "… behind nginx: TLS, client certificates, a prefix",
    "hub": "JupyterHub, default server",
    "hub-named": "JupyterHub, named server with options",
    "kernel-gateway": "Kernel Gateway 3",
    "enterprise-gateway": "Enterprise Gateway 3",
}

TESTS = {
    "test_run_a_notebook": "run a notebook",
    "test_run_a_script": "run a script",
    "test_failing_cells": "tell of a failing cell",
    "test_kernels": "kernel commands",
    "test_no_output_is_lost": "lose no output",
    "test_detach": "leave a run and come back",
    "test_relay": "kernels in an editor",
    "test_doctor": "`jrc doctor`",
}

HEAD = """# What works where

Made by `nox -s servers` from the results of the tests that run on real servers of every kind.

"""

NOTES = """
- On gateways `jrc kernel list` shows the kernels that jrc started from this machine, unless the
  gateway lists its own. There is no folder to start a kernel in.
- With `allow_tracebacks=False` the server replaces the text of errors; jrc can say only that one
  happened.
- An Enterprise Gateway 3.3 speaks the older framing of websocket messages; jrc speaks both.
"""


def results(path: Path) -> dict[tuple[str, str], bool]:
    """By conformance test and kind of server: whether it passed."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314  pytest wrote it
        name = re.fullmatch(r"(\w+)\[(.+)\]", case.get("name", ""))
        if name and case.get("classname", "").endswith("test_conformance"):
            failed = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
            found[name[1], name[2]] = not failed
    return found


def table(found: dict[tuple[str, str], bool]) -> str:
    """The results as a Markdown table; a test that is new in the results must get a title here."""
    unknown = {test for test, _ in found} - TESTS.keys() | {
        kind for _, kind in found
    } - KINDS.keys()
    if unknown:
        raise SystemExit(f"docs/make_servers.py has no words for {', '.join(sorted(unknown))}")
    marks = {True: "yes", False: "**no**", None: "?"}
    rows = [
        f"| {title} | " + " | ".join(marks[found.get((test, kind))] for test in TESTS) + " |"
        for kind, title in KINDS.items()
    ]
    head = "| | " + " | ".join(TESTS.values()) + " |"
    return "\n".join([head, "|---" * (len(TESTS) + 1) + "|", *rows]) + "\n"


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(HEAD + table(results(source)) + NOTES, encoding="utf-8")
