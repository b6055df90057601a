"""Attach to a run: show what has happened, follow it to its end, and save the notebook."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from jrc.errors import (
    JrcError,
    KernelDiedError,
    NotFoundError,
    UsageError,
)
from jrc.notebook.result_notebook import Filling
from jrc.run.events import Notice, RunStarted
from jrc.run.following import Following, How
from jrc.run.listeners import Guarded
from jrc.run.opening import failed_run, left_run, open_result
from jrc.run.options import AttachOptions
from jrc.run.outcome import Ending
from jrc.run.progress import Listener, Result
from jrc.runs.followers import ANOTHER_FOLLOWS, Followers
from jrc.runs.lookup import FoundRun
from jrc.runs.manifest import About
from jrc.runs.questions import kept_in_journal
from jrc.runs.records import Process, RunRecords
from jrc.runs.removal import delete_run, release_kernel
from jrc.shell import quote
from jrc.tunnel.processes import start_time

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.attach")


class Attachment:
    """Follows one run to its end.

    Args:
        found: the run.
        server: the server that it is on.
        options: how to follow it.
        listener: gets the events.
        output: the file for the result; None for the file that the run was begun with, or the
            default.
        records: what this computer remembers of its runs.
    """

    can_be_left = True
    only_follows = True

    def __init__(
        self,
        found: FoundRun,
        server: "ServerClient",
        *,
        options: AttachOptions,
        listener: Listener,
        output: Path | None,
        records: RunRecords,
    ) -> None:
        self._found = found
        self._server = server
        self._keep_kernel = options.keep_kernel
        self._listener = Guarded(listener)
        self._output = output
        self._filling: Filling | None = None
        self._is_left = False
        self._records = records
        how = How(
            latest=options.latest,
            patience=options.patience,
            comes_again=options.keep_kernel,
            timing=options.timing,
        )
        self._following = Following(found, server, how, self._listener)
        self._followers = Followers(server, "")

    async def run(self) -> int:
        """Follow the run.

        Returns:
            the exit code: 0, or a script's own.

        Raises:
            NotFoundError: nothing is left of the run.
            UsageError: another client on this computer follows it.
            RemoteError, KernelDiedError, OutputLostError: the run failed.
            JrcError: the server or the file can't be used.
        """
        self._refuse_a_second_client()
        try:
            return await self._follow()
        except BaseException as error:
            self._say_what_becomes_of_it(error)
            raise

    async def _follow(self) -> int:
        self._followers = Followers(self._server, await self._following.locate())
        result = None
        try:
            about = await self._following.look_as(self._followers)
            output = result_file(self._found, self._output)
            self._announce(about, output)
            self._note_follower(here=True)
            result = await self._following.follow(about, lambda: self._open(about, output))
        finally:
            self._note_follower(here=False)
            began_here = self._found.record is not None
            has_all = result is not None and began_here and not self._keep_kernel
            await asyncio.shield(self._followers.leave(has_all=has_all))
        if result is None:
            raise await self._nothing_left(about, output)
        if result.status == "kernel-died":
            self._listener.on_event(Notice("kernel-died", result.reason))
        return await self._end(about, result)

    async def interrupt(self) -> None:
        """Stop following; the run goes on."""

    async def leave(self) -> None:
        """Stop following; the run goes on."""
        self._say_left()

    def how_to_come_back(self) -> str | None:
        return None if self._is_left else f"The run goes on: jrc attach {self._found.run}"

    def _say_what_becomes_of_it(self, error: BaseException) -> None:
        """Send the last event after an error: the run goes on, unless nothing is left of it."""
        if not self._listener.awaits_end:
            return
        if isinstance(error, NotFoundError | KernelDiedError):
            output = None if self._filling is None else self._filling.result
            self._listener.on_event(failed_run(self._found.run, error, output))
        else:
            self._say_left()

    def _say_left(self) -> None:
        self._is_left = True
        run, kernel_id = self._found.run, self._found.kernel_id
        self._listener.on_event(left_run(self._server, run, kernel_id, None))

    def _refuse_a_second_client(self) -> None:
        record = self._found.record
        if record is not None and record.client.pid != os.getpid() and record.client_lives:
            raise UsageError(
                f"The run {record.run} is followed already: by the process {record.client.pid} on "
                "this computer.",
                hint="Press Ctrl-C twice there to leave it.",
            )
        if record is not None and record.follower.pid != os.getpid() and record.follower.lives:
            raise UsageError(
                f"The run {record.run} is followed already: by the process "
                f"{record.follower.pid} on this computer, which saves its result.",
                hint=f"To see it here, too: jrc logs -f {record.run}",
            )

    def _note_follower(self, *, here: bool) -> None:
        """Note whether this process follows the run: two at once would write the same file.

        A failure is logged. The run is followed all the same, and its own error is not replaced.
        """
        me = os.getpid()
        follower = Process(me, start_time(me)) if here else Process()
        try:
            self._records.note_follower(self._found.run, follower)
        except JrcError as error:
            log.warning("who follows the run is not noted on this computer: %s", error)

    def _announce(self, about: About, output: Path | None) -> None:
        self._listener.on_event(
            RunStarted(
                run=self._found.run,
                document=str(about.document.path),
                server=self._server.address.base_url,
                kernel_id=self._found.kernel_id,
                session=self._found.session_path,
                cells=about.document.counted(about.first),
                kind=about.document.kind,
                profile=self._found.profile.name,
                output=None if output is None else str(output),
            )
        )

    def _open(self, about: About, output: Path | None) -> Filling:
        filling = Filling(about.document, output)
        before = None
        if self._output is None:
            before = "" if self._found.record is None else self._found.record.output_before
        open_result(filling, self._found.run, self._listener, self._records, before=before)
        self._filling = filling
        return filling

    async def _nothing_left(self, about: About, output: Path | None) -> JrcError:
        """The error for a run that neither a kernel nor a journal knows."""
        record = self._found.record
        if record is None or record.detached:
            return self._following.nothing_left()
        filling = self._open(about, output)
        saved = self._following.take_up(filling, about)
        if saved:
            filling.content.finished()
            filling.save()
        filling.close()
        if not self._keep_kernel:
            await self._delete_all()
        return KernelDiedError(
            f"The run {record.run} has lost its kernel, which ended or was restarted after the "
            "run's client had ended: what the kernel published in between is lost.",
            hint=f"What arrived before is saved in {filling.result}." if saved else None,
        )

    async def _end(self, about: About, result: Result) -> int:
        output = None if self._filling is None else self._filling.result
        if not self._keep_kernel:
            self._note_kept_kernel(about, result)
            await self._clean_up(about.owner or self._found.owner)
        ending = Ending(about.document, output, allow_loss=about.allow_loss)
        return ending.conclude(self._found.run, result, self._listener)

    def _note_kept_kernel(self, about: About, result: Result) -> None:
        """Where the run was begun so, its kernel stays, though nothing of the run does."""
        keeps = about.keep_kernel or (about.keep_kernel_on_error and result.failed)
        if self._found.session_id and keeps:
            self._found = replace(self._found, keeps_kernel=True)
            text = f"The kernel is kept: jrc run --kernel-id {quote(self._found.kernel_id)} FILE"
            self._listener.on_event(Notice("kernel", text))

    async def _clean_up(self, owner: str) -> None:
        """Delete what nobody needs any more of a run that is over and saved."""
        began_here = self._found.record is not None

        async def who_needs_it() -> str:
            return await self._followers.who_needs_it(began_here=began_here, began_by=owner)

        try:
            need = await who_needs_it()
        except JrcError as error:
            self._untidy(error)
            return
        if not need:
            await self._delete_all(who_needs_it)
            return
        if self._found.session_id and self._found.is_mine:
            await self._tidied(self._release_kernel())
        if began_here:
            self._records.remove(self._found.run)
        if need != ANOTHER_FOLLOWS:
            text = (
                f"The run stays readable on the server for {need}. To delete it: "
                f"jrc runs rm {self._found.run}"
            )
            self._listener.on_event(Notice("kept", text))

    async def _release_kernel(self) -> None:
        """End the kernel, or let it stay without the run, if the journal is complete."""
        kept = await kept_in_journal(self._server, self._found.kernel_id, self._found.run)
        if kept:
            await release_kernel(self._server, self._found)
        else:
            text = f"Its kernel stays as well: the journal is not complete ({kept.reason})."
            self._listener.on_event(Notice("kernel", text))

    async def _delete_all(self, who_needs_it: Callable[[], Awaitable[str]] | None = None) -> None:
        """Delete the run on the server, and its record here."""
        deletion = delete_run(self._server, self._found, self._following.path, who_needs_it)
        await self._tidied(deletion)
        self._records.remove(self._found.run)

    async def _tidied(self, work: Awaitable[None]) -> None:
        try:
            await work
        except JrcError as error:
            self._untidy(error)

    def _untidy(self, error: JrcError) -> None:
        text = f"What is left of the run on the server could not be deleted: {error.message}"
        self._listener.on_event(Notice("kernel", text))


def result_file(found: FoundRun, output: Path | None) -> Path | None:
    """The file that ``jrc attach`` saves to; None for none.

    Args:
        found: the run.
        output: the file that the user named.
    """
    if output is not None:
        return output
    if found.record is not None:
        return Path(found.record.output) if found.record.output else None
    remote = PurePosixPath("" if found.remote is None else found.remote.document)
    return Path(f"{_harmless(remote.stem)}.out.ipynb") if remote.suffix == ".ipynb" else None


def _harmless(name: str) -> str:
    """A name that others chose, for a file in this folder.

    On Windows it could name another folder or drive. Behind a ``*`` in a command it could be an
    option.
    """
    safe = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in name)
    return f"_{safe[1:]}" if safe.startswith("-") else safe
