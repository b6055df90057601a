"""How a detached run begins, and what is left of one that can't."""

import asyncio
from pathlib import Path

import pytest

from jrc.errors import ConfigError, ExitCode
from jrc.kernel.channels import Channels
from jrc.run.events import RunDetached, RunEvent, RunFinished, RunStarted
from tests.support.desk import Desk, nothing_is_left
from tests.support.running import Recorder, notebook, run_document, stdout_of, write_notebook

pytestmark = pytest.mark.anyio


def unwritable_records(desk: Desk) -> None:
    """A run that is begun can't be remembered at this desk."""
    desk.paths.state.mkdir(parents=True)
    (desk.paths.state / "runs").write_text("in the way")


async def test_a_detached_run_that_fails_ends_with_an_event(desk: Desk, tmp_path: Path) -> None:
    unwritable_records(desk)
    listener = Recorder()
    with pytest.raises(ConfigError):
        await desk.begin(notebook(tmp_path, "print(1)"), listener=listener)
    (started,), (finished,) = listener.of(RunStarted), listener.of(RunFinished)
    assert listener.events[-1] == finished
    assert finished == RunFinished(started.run, "failed", ExitCode.CONFIG, None, [])
    assert nothing_is_left(desk.server, started.run)


async def test_a_detached_run_that_is_stopped_as_it_begins_ends_with_an_event(
    desk: Desk, tmp_path: Path
) -> None:
    class Stops(Recorder):
        def on_event(self, event: RunEvent) -> None:
            super().on_event(event)
            if isinstance(event, RunStarted):
                beginning.cancel()

    listener = Stops()
    path = notebook(tmp_path, "print(1)")
    beginning = asyncio.create_task(desk.begin(path, listener=listener))
    with pytest.raises(asyncio.CancelledError):
        await beginning
    (finished,) = listener.of(RunFinished)
    assert (finished.status, finished.exit_code) == ("interrupted", ExitCode.INTERRUPTED)
    assert not listener.of(RunDetached)
    assert nothing_is_left(desk.server, finished.run)


async def test_a_detached_run_that_is_stopped_as_its_client_leaves_is_not_remembered(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is in the kernel, and the record is written."""
    close = Channels.close

    async def close_late(channels: Channels) -> None:
        monkeypatch.setattr(Channels, "close", close)
        assert desk.records.all()
        beginning.cancel()
        await close(channels)
        await asyncio.sleep(0)

    monkeypatch.setattr(Channels, "close", close_late)
    listener = Recorder()
    beginning = asyncio.create_task(desk.begin(notebook(tmp_path, "print(1)"), listener=listener))
    with pytest.raises(asyncio.CancelledError):
        await beginning
    (finished,) = listener.of(RunFinished)
    assert finished.status == "interrupted"
    assert desk.records.all() == []
    assert nothing_is_left(desk.server, finished.run)


async def test_the_kernel_of_a_detached_run_that_fails_is_kept_where_that_is_asked_for(
    desk: Desk, tmp_path: Path
) -> None:
    """It begins no other cell of the run."""
    unwritable_records(desk)
    begun, listener = tmp_path / "begun", Recorder()
    path = notebook(tmp_path, "import time\ntime.sleep(2)", f"open({str(begun)!r}, 'w')")
    with pytest.raises(ConfigError):
        await desk.begin(path, listener=listener, keep_kernel=True)
    (session,) = desk.server.rest("GET", "api/sessions")
    try:
        (started,) = listener.of(RunStarted)
        assert session["kernel"]["id"] == started.kernel_id
        again = notebook(tmp_path, "print('it lives')")
        await run_document(
            desk.server, again, desk.output, kernel_id=started.kernel_id, recorder=False
        )
        assert stdout_of(desk.output) == "it lives\n"
        assert not begun.exists()
        assert not [path for path in desk.server.root.rglob("*") if started.run in path.name]
    finally:
        desk.server.rest("DELETE", f"api/sessions/{session['id']}")


async def test_a_file_that_was_written_while_the_kernel_started_stays(
    desk: Desk, tmp_path: Path
) -> None:
    """The run began before: what stands in its file is newer."""

    class Writes(Recorder):
        def on_event(self, event: RunEvent) -> None:
            super().on_event(event)
            if isinstance(event, RunStarted):
                write_notebook(desk.output, ["mine"])

    run = await desk.begin(notebook(tmp_path, "print('one')"), listener=Writes())
    assert await desk.attach(run, says_where=False) == 0
    assert "mine" in desk.output.read_text()
    assert stdout_of(desk.output.with_name("out-2.ipynb")) == "one\n"
