"""Where a result can be saved nowhere, the server keeps the last copy, and says how to fetch it."""

import asyncio
import errno
import json
import re
import resource
import shlex
import subprocess
from pathlib import Path

import pytest

from jrc.errors import AuthError
from jrc.notebook.document import load
from jrc.run.events import Notice, RunDetached
from jrc.run.job import Job
from jrc.run.options import Options
from tests.support.command import Result, jrc_command, jrc_environment, run_jrc
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.jupyter import JupyterServer
from tests.support.notebooks import write
from tests.support.proxy import Proxy
from tests.support.running import (
    TICKS,
    Recorder,
    client_of,
    notebook,
    profile_of,
    stdout_of,
)

pytestmark = pytest.mark.anyio

MIB = 1 << 20
PRINTS = "for i in range(3000): print(i, 'x' * 1000)"
ALL = "".join(f"{i} {'x' * 1000}\n" for i in range(3000))


def run_on_a_full_disk(
    *args: str, cwd: Path, env: dict[str, str], stdout: int | None = None
) -> Result:
    """``jrc run`` where no file, here or among the temporary ones, can grow beyond 1 MiB."""
    done = subprocess.run(
        jrc_command(*args),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=jrc_environment(env),
        cwd=cwd,
        timeout=90,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB)),
    )
    return Result(done.returncode, done.stdout or "", done.stderr)


def hint_of(result: Result) -> list[str]:
    """The words of the command that the hint names, without ``jrc``."""
    match = re.search(r"(?m)^hint: .*: jrc (.+)$", result.stderr)
    assert match is not None, result.stderr
    return shlex.split(match[1])


async def test_a_run_is_left_also_where_its_file_can_not_be_written(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, gate = Recorder(), tmp_path / "gate"
    waits = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)"
    code = f"import os, time\nprint('one')\n{waits}"
    async with client_of(desk.server) as client:
        job = Job(
            load(notebook(tmp_path, code, "print('two')"), args=[]),
            client,
            options=Options(profile="team"),
            listener=listener,
            output=desk.output,
            records=desk.records,
        )
        running = asyncio.create_task(job.run())
        while "one" not in printed(listener):
            await asyncio.sleep(0.02)
        with monkeypatch.context() as full:
            full.setattr("jrc.notebook.result_file.replace_content", no_space)
            full.setattr("jrc.notebook.saving.replace_content", no_space)
            await job.leave()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert [event.attach for event in listener.of(RunDetached)] == [f"jrc attach {job.run_id}"]
    assert "no space left" in [e.text for e in listener.of(Notice) if e.kind == "saved"][-1]
    gate.touch()
    assert await desk.attach(job.run_id) == 0
    assert (stdout_of(desk.output), stdout_of(desk.output, 1)) == ("one\n", "two\n")
    assert nothing_is_left(desk.server, job.run_id)


async def test_a_run_whose_credentials_are_refused_goes_on_and_can_be_attached_to(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, its record was deleted, and nobody could come back to it."""
    listener = Recorder()
    with Proxy(desk.server.url) as proxy:
        async with client_of(desk.server, url=proxy.url) as client:
            job = Job(
                load(notebook(tmp_path, TICKS, "print('two')"), args=[]),
                client,
                options=Options(profile="team"),
                listener=listener,
                output=desk.output,
                records=desk.records,
            )
            running = asyncio.create_task(job.run())
            while "5" not in printed(listener):
                await asyncio.sleep(0.02)
            monkeypatch.setattr(client, "headers", expired)
            proxy.cut()
            with pytest.raises(AuthError) as caught:
                await running
    assert str(caught.value.hint).endswith(f"Later: jrc attach {job.run_id}")
    assert listener.of(RunDetached)
    assert await desk.attach(job.run_id) == 0
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(40))
    assert nothing_is_left(desk.server, job.run_id)


async def expired() -> dict[str, str]:
    return {"Authorization": "token expired"}


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("arguments", [[], ["--in-place"], ["--no-pipeline"]])
def test_a_result_that_can_be_saved_nowhere_is_fetched_by_the_command_in_the_hint(
    jupyter: JupyterServer, tmp_path: Path, arguments: list[str]
) -> None:
    env = profile_of(jupyter)
    path = write(tmp_path / "a.ipynb", PRINTS, "1 / 0")
    before = path.read_bytes()
    failed = run_on_a_full_disk("run", *arguments, "a.ipynb", cwd=tmp_path, env=env)
    assert failed.code == 2
    assert re.search(r"Can't write .*: file too large\.", failed.stderr)
    assert "kernel" in failed.stderr
    assert arguments != ["--in-place"] or path.read_bytes() == before
    attach = hint_of(failed)
    run = attach[1]
    fetched = run_jrc(*attach, env=env, cwd=tmp_path)
    assert (fetched.code, "ZeroDivisionError" in fetched.stderr) == (1, True)
    output = path if arguments == ["--in-place"] else tmp_path / "a.out.ipynb"
    assert stdout_of(output) == ALL
    assert json.loads(output.read_text())["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert nothing_is_left(jupyter, run)
    assert run not in run_jrc("runs", "--json", env=env).stdout
