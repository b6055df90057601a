"""A client that comes in the very moment in which another one deletes the run."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from jrc.errors import NotFoundError
from jrc.run.following import Following
from jrc.run.logs import Logs
from jrc.runs import removal
from jrc.runs.manifest import About
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.running import Recorder, client_of, notebook, stdout_of

pytestmark = pytest.mark.anyio

Moment = Literal["joined", "looked"]
FETCHED = "another client has fetched it just now"


class LateClient:
    """A client that has come so far when the first one deletes something, and goes on then.

    Args:
        monkeypatch: holds it up.
        begin: begins it.
        moment: how far it comes: it says that it follows; or it has seen how the run is, too.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Awaitable[int]], moment: Moment
    ) -> None:
        self._monkeypatch = monkeypatch
        self._begin = begin
        self._moment = moment
        self._there, self._deleted = asyncio.Event(), asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def comes_before(self, deletion: str) -> None:
        """Let it come after the first client's last look, before it deletes this."""
        delete = getattr(removal, deletion)

        async def late(*args: Any) -> None:
            with self._monkeypatch.context() as patch:
                patch.setattr(Following, "look", self._held_up(Following.look))
                self.ended = asyncio.ensure_future(self._begin())
                await self._there.wait()
            await delete(*args)
            self._deleted.set()

        self._monkeypatch.setattr(removal, deletion, late)

    def _held_up(self, look: Callable[[Following], Awaitable[About]]) -> Any:
        async def held_up(following: Following) -> About:
            about = await look(following) if self._moment == "looked" else None
            self._there.set()
            await self._deleted.wait()
            return await look(following) if about is None else about

        return held_up


@pytest.mark.parametrize("moment", ["joined", "looked"])
async def test_another_computer_that_comes_as_the_journal_is_deleted(
    desk: Desk,
    other_desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: Moment,
) -> None:
    """It has everything, or reads what became of the run."""
    run = await desk.begin(notebook(tmp_path, "print('one')", "print('last')"))
    await desk.until(run, "finished")
    heard = Recorder()
    late = LateClient(monkeypatch, lambda: other_desk.attach(run, heard), moment)
    late.comes_before("delete_journal")
    assert await desk.attach(run) == 0
    if moment == "looked":
        assert await late.ended == 0
        assert printed(heard) == "one\nlast\n"
        assert stdout_of(other_desk.output, 1) == "last\n"
    else:
        with pytest.raises(NotFoundError, match=FETCHED):
            await late.ended
    assert nothing_is_left(desk.server, run)


@pytest.mark.parametrize("what", ["attach", "logs"])
async def test_a_client_of_the_same_computer_that_comes_as_the_journal_is_deleted(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The record is there a moment longer. That run can't be forgotten any more: it is fetched."""
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    await desk.until(run, "finished")

    async def logs() -> int:
        async with client_of(desk.server) as client:
            return await Logs(await desk.find(run), client, Recorder(), follow=True).run()

    begin = logs if what == "logs" else lambda: desk.attach(run)
    late = LateClient(monkeypatch, begin, "looked")
    late.comes_before("delete_journal")
    assert await desk.attach(run) == 0
    with pytest.raises(NotFoundError, match=FETCHED):
        await late.ended
    assert nothing_is_left(desk.server, run)
    assert desk.records.find(run) is None


@pytest.mark.parametrize(
    ("here", "moment"), [(True, "joined"), (True, "looked"), (False, "joined"), (False, "looked")]
)
async def test_a_client_that_comes_as_a_kernel_that_stays_forgets_the_run(
    desk: Desk,
    other_desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: bool,
    moment: Moment,
) -> None:
    """The kernel has not died. Another computer does not know it: it has read the journal."""
    kernel = desk.server.rest("POST", "api/kernels", {"name": "python3"})["id"]
    try:
        run = await desk.begin(notebook(tmp_path, "print('one')"), kernel_id=kernel)
        await desk.until(run, "finished")
        heard, there = Recorder(), desk if here else other_desk
        late = LateClient(monkeypatch, lambda: there.attach(run, heard), moment)
        late.comes_before("forget_run")
        assert await desk.attach(run) == 0
        if moment == "looked" and not here:
            assert await late.ended == 0
            assert printed(heard) == "one\n"
        else:
            with pytest.raises(NotFoundError, match=FETCHED):
                await late.ended
        assert nothing_is_left(desk.server, run)
    finally:
        desk.server.rest("DELETE", f"api/kernels/{kernel}")
