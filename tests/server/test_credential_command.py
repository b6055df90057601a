"""Programs that give credentials: what they may print, and how jrc runs them."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import AuthError, ConfigError, DeadlineError, JrcError
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth
from jrc.server.credential_command import (
    CommandAuth,
    CommandTiming,
    Credentials,
    read_credentials,
    run_command,
)
from jrc.server.http import HttpClient

pytestmark = pytest.mark.anyio

HERE = ServerAddress("https://h.org/p/")
SECRET = "s3cret-t0ken"


def program(folder: Path, code: str) -> list[str]:
    path = folder / "give.py"
    path.write_text(code)
    return [sys.executable, str(path)]


@pytest.mark.parametrize(
    ("printed", "headers"),
    [
        ({"token": "t"}, {"Authorization": "token t"}),
        ({"headers": {"Authorization": "Bearer t"}}, {"Authorization": "Bearer t"}),
        ({"token": "t", "headers": {"X-A": "b"}}, {"Authorization": "token t", "X-A": "b"}),
        ({"token": "t", "future": 1}, {"Authorization": "token t"}),
    ],
)
def test_what_it_may_print(printed: object, headers: dict[str, str]) -> None:
    assert read_credentials(json.dumps(printed).encode(), "give").headers == headers


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        SECRET.encode(),
        b"[]",
        b"{}",
        b'{"token": 1}',
        b'{"headers": ["s3cret-t0ken"]}',
        b'{"headers": {"A": "s3cret-t0ken\\r\\nB: x"}}',
        b'{"token": "s3cret-t0ken", "expiry": "tomorrow"}',
        b'{"token": "s3cret-t0ken", "expiry": 5}',
    ],
)
def test_what_it_may_not_print(printed: bytes) -> None:
    """The error does not repeat it, and neither does its cause."""
    with pytest.raises(ConfigError, match="The credential command give prints") as raised:
        read_credentials(printed, "give")
    assert SECRET not in f"{raised.value!r} {raised.value.hint} {raised.value.__cause__!r}"


@given(st.binary() | st.text().map(lambda text: json.dumps({"token": text}).encode()))
def test_no_output_breaks_it(output: bytes) -> None:
    with suppress(JrcError):
        read_credentials(output, "give")


def test_times() -> None:
    found = read_credentials(b'{"token": "t", "expiry": "2026-11-22T21:00:00Z"}', "give")
    assert found.expiry == 1795381200.0
    assert SECRET not in repr(Credentials({"Authorization": SECRET}))
    hour = Credentials({}, expiry=3600.0)
    assert [hour.fresh(now, 0) for now in (0, 3500, 3545, 3700)] == [True, True, False, False]
    short = Credentials({}, expiry=10.0)
    assert [short.fresh(now, 0) for now in (0, 7.9, 8.1)] == [True, True, False]
    assert Credentials({}).fresh(1e12, 0)


async def test_it_is_told_the_server_and_not_our_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs without a shell: an argument is one argument."""
    monkeypatch.setenv("JRC_TOKEN", SECRET)
    code = (
        "import json, os, sys\n"
        "print(json.dumps({'headers': {'A': os.environ['JRC_CREDENTIAL_URL'],"
        " 'B': str('JRC_TOKEN' in os.environ), 'C': sys.argv[1]}}))\n"
    )
    found = await run_command([*program(tmp_path, code), "a b; $(id)"], HERE)
    assert found.headers == {"A": "https://h.org/p/", "B": "False", "C": "a b; $(id)"}


async def test_it_fails(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"failed \(exit code 3\)"):
        await run_command(program(tmp_path, "import sys; sys.exit(3)"), HERE)
    with pytest.raises(ConfigError, match="can't be started"):
        await run_command([str(tmp_path / "missing")], HERE)


async def test_it_hangs(tmp_path: Path) -> None:
    hanging = program(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(DeadlineError, match="did not end within"):
        await run_command(hanging, HERE, CommandTiming(run=0.2))


async def test_it_is_asked_when_it_is_needed(tmp_path: Path) -> None:
    """Once while its answer is good, again when it expired, and again after a refusal."""
    count = tmp_path / "count"
    code = (
        "import json, pathlib\n"
        f"path = pathlib.Path({str(count)!r})\n"
        "n = len(path.read_text()) if path.exists() else 0\n"
        "path.write_text('x' * (n + 1))\n"
        "expiry = '2000-01-01T00:00:00Z' if n == 0 else '2999-01-01T00:00:00Z'\n"
        "print(json.dumps({'token': f't{n}', 'expiry': expiry}))\n"
    )
    auth = CommandAuth(program(tmp_path, code), HERE, NoAuth())
    tokens = []
    async with HttpClient(HERE) as http:
        for _ in range(3):
            tokens.append((await auth.headers(http))["Authorization"])
        auth.forget()
        tokens.append((await auth.headers(http))["Authorization"])
    assert tokens == ["token t0", "token t1", "token t1", "token t2"]
