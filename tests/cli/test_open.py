"""``jrc open``: the browser is logged in, and nobody else gets the token."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from jrc.cli import login_page as module
from jrc.cli.login_page import OneTimePage, is_ours, login_page
from jrc.profile.secret import Secret
from jrc.tunnel.tcp_table import parse
from tests.support.command import jrc_command, run_jrc
from tests.support.forms import login_form
from tests.support.jupyter import JupyterServer
from tests.support.users import OTHER, second_user

pytestmark = pytest.mark.attacks

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")

ASK = """\
import encodings.idna, os, socket, sys
port, path, user = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
source = (sys.argv[4], int(sys.argv[5])) if sys.argv[4:] else None
os.setgid(user)
os.setuid(user)
with socket.create_connection(("127.0.0.1", port), source_address=source) as connection:
    connection.sendall(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
    print(connection.recv(100).decode("ascii"))
"""
"""The program becomes another user only now: that one may not be allowed to start Python."""


@contextmanager
def opening(*words: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The first line that ``jrc open`` prints, while it waits for a browser."""
    with subprocess.Popen(
        jrc_command("open", "--print", *words),
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip(), process


def test_a_form_logs_the_browser_in(jupyter: JupyterServer, tmp_path: Path) -> None:
    """Of the server that JRC_URL names, too."""
    variables = {"JRC_URL": jupyter.url, "JRC_TOKEN": jupyter.token, "JRC_HOME": str(tmp_path)}
    with opening(**variables) as (address, process), httpx.Client(trust_env=False) as browser:
        assert jupyter.token not in address
        assert browser.get(f"{address}x").status_code == 404
        action, form = login_form(browser.get(address))
        assert jupyter.token not in action
        answer = browser.post(action, data=form)
        assert answer.status_code == 302
        assert jupyter.token not in answer.headers["Location"]
        assert browser.get(f"{jupyter.url}api/status").status_code == 200
        assert process.wait(60) == 0
    assert f"token={jupyter.token}" not in jupyter.log.read_text()


def test_without_a_token_it_is_the_server_s_own_page(tmp_path: Path) -> None:
    done = run_jrc(
        "open", "--print", env={"JRC_URL": "http://x.org/a/lab", "JRC_HOME": str(tmp_path)}
    )
    assert (done.code, done.stdout) == (0, "http://x.org/a/\n")


def asked_by_another_user(page: OneTimePage, *source: str) -> str:
    """The beginning of what another user gets who has the address."""
    address = urlsplit(page.address)
    ask = [sys.executable, "-c", ASK, str(address.port), address.path, str(OTHER), *source]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout


@LINUX
@second_user
def test_another_user_who_reads_the_address_gets_nothing() -> None:
    with OneTimePage(*login_page("http://x/", Secret("s3cret"))) as page:
        assert " 404 " in asked_by_another_user(page)
        assert not page.wait(0)
        ours = httpx.get(page.address, trust_env=False)
        assert httpx.get(page.address, trust_env=False).status_code == 404
    assert login_form(ours) == ("http://x/login", {"token": "s3cret", "password": "s3cret"})


@LINUX
@second_user
def test_another_user_who_has_the_port_of_our_browser_elsewhere_gets_nothing() -> None:
    """It is open and has not asked yet; the system lets others connect from that port, too."""
    with OneTimePage(*login_page("http://x/", Secret("s3cret"))) as page:
        place = ("127.0.0.1", urlsplit(page.address).port)
        with socket.create_connection(place) as ours:
            port = str(ours.getsockname()[1])
            assert " 404 " in asked_by_another_user(page, "127.0.0.2", port)
        assert not page.wait(0)


@LINUX
def test_a_connection_that_is_closed_is_nobody_s() -> None:
    """The table shows such a one as root's."""
    ends = ("127.0.0.1", 5), ("127.0.0.1", 6)
    row = b" 0: 0100007F:%04X 0100007F:%04X %s 0:0 0:0 0 %d 0 %d 1\n"

    def user_of(*values: int | bytes) -> int | None:
        return module._user_of(
            parse([b"  sl  local_address rem_address st\n", row % values]), *ends
        )

    assert user_of(5, 6, b"01", 7, 99) == 7
    assert user_of(5, 6, b"06", 0, 0) is None
    assert user_of(5, 6, b"01", 0, 0) is None
    assert user_of(6, 5, b"01", 7, 99) is None
    assert not is_ours(("127.0.0.1", 1), ("127.0.0.1", 1))


def test_where_the_system_proves_nothing_a_private_file_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_table_can_be_read", lambda: False)
    with OneTimePage(b"page", "") as page:
        with page.for_argv(tmp_path / "open") as argument:
            (file,) = (tmp_path / "open").iterdir()
            assert argument == file.as_uri()
            assert page.address in file.read_text()
            if os.name != "nt":
                assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (
                    0o600,
                    0o700,
                )
            assert httpx.get(page.address, trust_env=False).content == b"page"
        assert not file.exists()


def test_nothing_in_a_token_is_code() -> None:
    page, policy = login_page('http://x/"><script>', Secret('"><script>alert(1)</script>'))
    assert page.count(b"<script") == 1
    assert "unsafe" not in policy
