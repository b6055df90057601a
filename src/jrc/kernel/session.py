"""Kernels on a server: which kernelspec is started, the session of a kernel, its end."""

import asyncio
import logging
import secrets
import shlex
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from jrc.errors import JrcError, KernelDiedError, NotFoundError, UnreachableError
from jrc.notebook.language import normal
from jrc.profile.owner import owner
from jrc.tasks import backoff

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.notebook.document import Document
    from jrc.server.client import ServerClient
    from jrc.server.models import KernelSpecs, SessionModel

log = logging.getLogger("jrc.kernel.session")

_T = TypeVar("_T")

DELETE_PAUSES = (1.0, 3.0)
"""Seconds to wait before a deletion is tried again. The link may break at that very moment, and a
kernel that stays may hold a GPU."""


START_SECONDS = 120.0
"""Seconds for a new kernel's first answer. A server waits 60 s for it, then lets clients in."""

WHOLE_ID = 32
"""Characters of a kernel's id, a UUID, with or without its dashes."""

_WATCH_AFTER = 3.0
_WATCH_PAUSE = 1.0


class KernelChoice(NamedTuple):
    """Which kernel to start, by the person's choice or by the document.

    Attributes:
        asked: name of the kernelspec that the person asked for; no other will do.
        named: name of the kernelspec that the document was written with.
        language: of the document, lower case, when it is known.
    """

    asked: str | None = None
    named: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, document: "Document", asked: str | None) -> "KernelChoice":
        """The choice for a document.

        Args:
            document: what will be executed.
            asked: name of the kernelspec that the person asked for; None for none.
        """
        return cls(asked, document.kernel_name, normal(document.language) or None)

    @property
    def first_try(self) -> str | None:
        """The kernelspec to ask for; None for the server's default."""
        return self.asked or self.named


def choose_kernelspec(choice: KernelChoice, available: "KernelSpecs") -> str:
    """The kernelspec to start if the server does not have the first one.

    A notebook names a kernelspec of the machine that it was written on (``.venv``, ``my-env``). Any
    kernelspec of the same language will do.

    Raises:
        NotFoundError: no kernelspec will do.
    """
    have = ", ".join(sorted(available.specs)) or "none"
    wanted = choice.first_try
    if choice.asked is None:
        default = available.specs.get(available.default)
        candidates = [*([default] if default else []), *available.specs.values()]
        for spec in candidates:
            if choice.language is None or normal(spec.language) == choice.language:
                return spec.name
    raise NotFoundError(
        f"The server has no kernel '{wanted}'"
        + (f", and none for {choice.language}" if choice.asked is None else "")
        + f". It has: {have}.",
        hint="Choose one of them: jrc run --kernel NAME FILE",
    )


class RemoteKernel:
    """One kernel on a server.

    As it is, one that was running before, and that stays. Those that extend it are started and
    deleted by us: ``open_new`` and the errors of a start are for them.

    Args:
        server: where it runs.
        kernel_id: of the kernel; empty before it is started.
        name: of its kernelspec; empty when it is not known.

    Attributes:
        id, name: as given.
        session_id: of the session that was created for it; None for none.
        session_path: of that session; empty for none.
        notice: what the person should know about the choice of the kernel; empty for nothing.
    """

    session_id: str | None = None
    session_path = ""
    notice = ""
    _when_silent = "The server's log may say why."

    def __init__(self, server: "ServerClient", kernel_id: str = "", *, name: str = "") -> None:
        self._server = server
        self.id = kernel_id
        self.name = name

    async def interrupt(self) -> None:
        """Interrupt what the kernel executes."""
        await self._server.interrupt(self.id)

    async def restart(self) -> None:
        """Restart the kernel under the same id."""
        await self._server.restart(self.id)

    async def state(self) -> str | None:
        """What the kernel does, as the server says: for example ``idle``. None if it is gone.

        Raises:
            AuthError: the server refuses the credentials.
            UnreachableError: the server can't be asked.
            ProtocolError: the answer is none of a Jupyter Server; a proxy may have given it.
        """
        kernel = await self._server.kernel(self.id)
        return None if kernel is None else kernel.state

    async def open(
        self,
        channels: "Channels",
        *,
        start_timeout: float | None = START_SECONDS,  # noqa: ARG002  for a new kernel
    ) -> None:
        """Open the kernel's channels.

        Args:
            channels: of this kernel.
            start_timeout: seconds for a new kernel's first answer; None for no limit.

        Raises:
            KernelDiedError: the new kernel has ended, or does not answer.
            NotFoundError: the server has no such kernel.
            JrcError: the server can't be reached, or refuses the credentials.
        """
        try:
            await channels.open(known=False)
        except NotFoundError as error:
            raise self._unknown() from error
        except UnreachableError as error:
            # This was the first request to the server. REST explains best what is wrong with it.
            if await self.state() is None:
                raise self._unknown() from error
            await channels.open()

    async def open_new(
        self, channels: "Channels", seconds: float | None, *, stubborn: bool = False
    ) -> None:
        """Open the channels of a kernel that has just been started, or find out that it has ended.

        A server keeps its clients waiting until the kernel has answered it.

        Args:
            channels: of this kernel.
            seconds: for the kernel's first answer; None for no limit.
            stubborn: try all the time also when the server can't be reached meanwhile.

        Raises:
            KernelDiedError: the kernel has ended, or does not answer.
            UnreachableError: the server can't be reached.
        """
        work = _open_stubbornly(channels) if stubborn else channels.open()
        opening = asyncio.create_task(work, name="open-channels")
        ending = asyncio.create_task(self._until_gone(), name="watch-start")
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait([opening, ending], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise self.died_at_start()
            await opening
        except NotFoundError as error:
            raise self.died_at_start() from error
        except TimeoutError as error:
            raise self.silent_at_start(seconds) from error
        finally:
            opening.cancel()
            ending.cancel()
            await asyncio.gather(opening, ending, return_exceptions=True)

    async def delete(self) -> str:
        """End the kernel if it was started here.

        Returns:
            what the person should know about a kernel that may still run; empty for nothing.
        """
        return ""

    async def keep(self) -> None:
        """Let the kernel stay, if it was started here."""

    def died_at_start(self) -> KernelDiedError:
        """The error for a kernel that ended before it answered."""
        return KernelDiedError(
            f"{self._what} died at its start; the server's log says why.",
            hint="Does the server have what its kernelspec starts? See: jrc doctor",
        )

    def silent_at_start(self, seconds: float | None) -> KernelDiedError:
        """The error for a kernel that was started, and never answered."""
        return KernelDiedError(
            f"{self._what} did not answer within {seconds:g} s of its start.",
            hint=self._when_silent,
        )

    async def _until_gone(self) -> None:
        """Return when the server no longer has this kernel: it gives up one that never answers."""
        await asyncio.sleep(_WATCH_AFTER)
        while True:
            try:
                if await self.state() in (None, "dead"):
                    return
            except JrcError as error:
                log.info("could not ask for the new kernel: %s", error)
            await asyncio.sleep(_WATCH_PAUSE)

    @property
    def _what(self) -> str:
        return f"The kernel '{self.name}'" if self.name else f"The kernel {self.id}"

    def _unknown(self) -> NotFoundError:
        return NotFoundError(
            f"The server has no kernel with the id {self.id}.", hint="jrc kernel list"
        )


class SessionKernel(RemoteKernel):
    """A kernel in a session of its own, which is deleted with it.

    Args:
        server: where it runs.
        kernel_id: of the kernel.
        session_id: of the session.
        session_path: of the session.
        notice: what the person should know about the choice of the kernel; empty for nothing.
        name: of its kernelspec.
        stays: the server goes on without this client: what can't be deleted now is deleted later.
    """

    _when_silent = "The server's log may say why. --start-timeout waits longer."

    def __init__(
        self,
        server: "ServerClient",
        kernel_id: str,
        *,
        session_id: str,
        session_path: str,
        notice: str = "",
        name: str = "",
        stays: bool = False,
    ) -> None:
        super().__init__(server, kernel_id, name=name)
        self.session_id: str = session_id
        self.session_path = session_path
        self.notice = notice
        self._stays = stays

    async def open(
        self, channels: "Channels", *, start_timeout: float | None = START_SECONDS
    ) -> None:
        await self.open_new(channels, start_timeout)

    async def delete(self) -> str:
        problem = await self._try_to_delete()
        if problem is None:
            return ""
        from jrc.server.http_errors import classify

        for pause in DELETE_PAUSES:
            if (
                problem is None
                or not classify(problem).may_pass
                or self._server.way.verdict() is not None
            ):
                break
            await asyncio.sleep(pause)
            problem = await self._try_to_delete()
        if problem is None:
            return ""
        later = "Later"
        if self._stays and self.session_path:
            why = "the server was out of reach at the end of its run"
            left = _leave_for_later(self._server, self.session_path, why, self.session_id)
            later = "The next jrc command there deletes it, or" if left else later
        return (
            f"The kernel could not be deleted and may still run: {problem.message} "
            f"{later}: jrc kernel stop {shlex.quote(self.id)}"
        )

    async def keep(self) -> None:
        await keep_session(self._server, self.session_id, self.session_path)

    async def _try_to_delete(self) -> JrcError | None:
        try:
            await self._server.delete_session(self.session_id)
        except JrcError as error:
            log.info("could not delete the session %s: %s", self.session_path, error)
            return error
        return None


async def keep_session(server: "ServerClient", session_id: str, path: str) -> None:
    """Let a kernel outlive its run: by the path of its session, the run would seem to go on.

    Args:
        server: where it runs.
        session_id, path: of the session.
    """
    document, _, run = path.rpartition("-")
    try:
        await server.request(
            "PATCH", "api", "sessions", session_id, json={"path": f"{document}-kept-{run}"}
        )
    except JrcError as error:
        log.info("the session %s keeps its path: %s", path, error)


async def _open_stubbornly(channels: "Channels") -> None:
    for pause in backoff():
        try:
            await channels.open()
        except UnreachableError as error:
            log.info("the channels did not open: %s", error)
            await asyncio.sleep(pause)
        else:
            return


async def ask_language(
    document: "Document",
    server: "ServerClient",
    kernel: str | None = None,
    kernel_id: str | None = None,
) -> str:
    """The language of the kernel, from the server's kernelspecs; empty if it is not known.

    Raises:
        NotFoundError: the server has no kernel that will do.
    """
    try:
        specs = await server.kernelspecs()
        running = None if kernel_id is None else await server.kernel(kernel_id)
    except JrcError as error:
        # The same problem will show when the kernel is started.
        log.info("the language of the kernel is not known: %s", error)
        return normal(document.language)
    if kernel_id is not None:
        name = "" if running is None else running.name
        spec = specs.specs.get(name)
        return normal(spec.language) if spec is not None else normal(document.language)
    choice = KernelChoice.of(document, kernel)
    name = choice.first_try or specs.default
    if name not in specs.specs:
        name = choose_kernelspec(choice, specs)
    return normal(specs.specs[name].language)


async def whole_kernel_id(server: "ServerClient", beginning: str) -> str:
    """The id of the running kernel whose id begins so.

    Raises:
        NotFoundError: there is no such kernel.
        UsageError: there are several.
    """
    if len(beginning) >= WHOLE_ID:
        return beginning
    from jrc.server.ids import find_kernel

    return find_kernel(await server.kernels(), beginning).id


async def start_kernel(
    server: "ServerClient",
    choice: KernelChoice,
    *,
    document: str,
    run: str,
    patience: float = 0.0,
    stays: bool = False,
) -> SessionKernel:
    """Start a kernel in a session of its own.

    The session's path is unique: all clients that ask for one path get the same kernel. It is also
    the only place that says whose kernel this is.

    Args:
        server: where.
        choice: which kernel.
        document: file name of the document.
        run: id of the run.
        patience: seconds to try again if the link breaks meanwhile.
        stays: the server goes on without this client. If it is not known whether the kernel was
            started, the next jrc command there looks for it.

    Raises:
        NotFoundError: no kernel of the server will do.
    """
    path = f"jrc/{owner()}/{document}-{run}"

    async def create(kernel: str | None) -> "SessionModel":
        return await server.create_session(path, document, "notebook", kernel)

    name = choice.first_try
    notice = ""
    try:
        try:
            session = await _patiently(server, lambda: create(name), patience)
        except NotFoundError:
            chosen = choose_kernelspec(choice, await server.kernelspecs())
            notice = f"The server has no kernel '{name}': using '{chosen}'."
            session = await _patiently(server, lambda: create(chosen), patience)
    except BaseException as error:
        if stays and _may_have_started(error):
            _leave_for_later(server, path, "its run ended while the kernel was starting")
        raise
    return SessionKernel(
        server,
        session.kernel.id,
        session_id=session.id,
        session_path=path,
        notice=notice,
        name=session.kernel.name,
        stays=stays,
    )


def _may_have_started(error: BaseException) -> bool:
    """Whether the server may have started the kernel although no answer arrived."""
    from jrc.server.http_errors import classify

    if isinstance(error, UnreachableError):
        failure = classify(error)
        return failure.closed_early or failure.was_silent
    # A person pressed Ctrl-C, for example.
    return not isinstance(error, JrcError)


def _leave_for_later(
    server: "ServerClient", session_path: str, why: str, session_id: str = ""
) -> bool:
    """Leave a kernel to the next jrc command. Returns whether that will delete it."""
    from jrc.server.orphans import leave_for_later

    return leave_for_later(server.address.base_url, session_path, session_id, why)


async def _patiently(
    server: "ServerClient", create: Callable[[], Awaitable[_T]], patience: float
) -> _T:
    """Ask again if the link breaks meanwhile: the server starts only one kernel for each path."""
    try:
        return await create()
    except UnreachableError as error:
        from jrc.server.http_errors import classify

        # A server that refuses connections from the beginning is not waited for.
        if not classify(error).closed_early:
            raise
        last = error
    for pause in backoff(within=patience):
        if server.way.verdict() is not None:
            # The tunnel to the server is closed until a person opens it.
            break
        log.info("asking for the kernel again: %s", last)
        await asyncio.sleep(pause)
        try:
            return await create()
        except UnreachableError as error:
            if not classify(error).may_pass:
                raise
            last = error
    raise last


def new_run_id() -> str:
    """Eight hex digits: enough for one person's runs, short enough to type."""
    return secrets.token_hex(4)
