"""Checks that need a kernel: its start, the websocket, an answer, the recorder, throughput, end."""

import asyncio
import secrets
import shlex
from contextlib import suppress

from jrc.doctor.check import Context, Finding, doubtful, fine, known, needless
from jrc.errors import (
    AuthError,
    JrcError,
    KernelDiedError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
)
from jrc.kernel.channels import Channels
from jrc.kernel.query import Answer, Conversation
from jrc.wire.message import Message

THROUGHPUT_BYTES = 4 * 1024 * 1024
SLOW_BYTES = 1_000_000
"""Bytes a second; below it a figure of a notebook takes a second and more."""

END_SECONDS = 15.0
"""For the last try to delete the kernel."""

SLOW_START_SECONDS = 30.0
"""An editor waits 60 s for a kernel."""

UPGRADE_REMEDY = (
    "Something between here and the server takes the websocket's upgrade away. nginx needs "
    "proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and proxy_set_header "
    'Connection "upgrade"; an AWS classic ELB needs TCP listeners or an ALB instead. '
    "See docs/howto/doctor.md."
)

# Random, so that nothing on the way can compress it; one message, which servers do not limit.
_PRINT = """\
from IPython.display import display as _jrc_display
_jrc_display({{"text/plain": __import__("os").urandom({half}).hex()}}, raw=True)
del _jrc_display
"""


async def kernel(context: Context) -> Finding:
    """The server starts a kernel."""
    from jrc.kernel.session import KernelChoice, new_run_id, start_kernel

    client, specs = known(context.client), known(context.specs)
    loop = asyncio.get_running_loop()
    context.kernel_began = loop.time()
    run = new_run_id()
    context.stack.push_async_callback(_end_at_last, context, run)
    started = await start_kernel(client, KernelChoice(), document="doctor", run=run)
    context.kernel = started
    return fine(f"The server started a kernel ({specs.default}).", kernel_id=started.id)


async def websocket(context: Context) -> Finding:
    """The kernel's websocket opens, and by which protocol."""
    from jrc.kernel.messages import Messages

    messages = Messages()
    channels = Channels(
        known(context.client), known(context.kernel).id, session_id=messages.session, patience=0.1
    )
    await _open(channels)
    context.stack.push_async_callback(channels.close)
    context.talk = Conversation(channels, messages)
    framing = {
        "v1": "v1.kernel.websocket.jupyter.org",
        "legacy": "the legacy framing (an older server or a gateway)",
    }
    return fine(
        f"It opens, with {framing.get(channels.protocol, channels.protocol)}.",
        protocol=channels.protocol,
    )


async def _open(channels: Channels) -> None:
    """Open it. A server answers only when the kernel does, which may take long."""
    while True:
        try:
            return await channels.open()
        except NotFoundError as error:
            # It was there a moment ago.
            raise died() from error
        except (ProtocolError, UnreachableError, AuthError) as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise explained(error, status=_status_of(error)) from error


def _status_of(error: JrcError) -> int:
    """The HTTP status that came instead of a websocket; 0 when none came."""
    from websockets.exceptions import InvalidStatus

    cause = error.__cause__
    return cause.response.status_code if isinstance(cause, InvalidStatus) else 0


def explained(error: JrcError, *, status: int) -> JrcError:
    """Why a websocket does not open although REST works, and what to do about it.

    Args:
        error: what the attempt ended with.
        status: the HTTP status that came instead; 0 when none came.
    """
    if status == 500:
        # It is the server itself that says so, after it waited for the kernel.
        return KernelDiedError(
            "The server gave up waiting for the kernel (HTTP 500): it died or does not answer.",
            hint="Look into the server's log, and try another kernelspec: jrc run --kernel NAME",
        )
    if isinstance(error, AuthError):
        return AuthError(
            f"{error.message} It accepted them for other requests.",
            hint="A proxy may take the Authorization header from websockets, or the server may "
            "refuse the origin: see ServerApp.allow_origin and the server's log.",
        )
    return type(error)(error.message, hint=UPGRADE_REMEDY)


async def _ask(talk: Conversation, request: Message, *, until_idle: bool = True) -> Answer:
    """Ask the kernel, which was started just now."""
    try:
        return await talk.ask(request, until_idle=until_idle)
    except KernelDiedError as error:
        raise died() from error


def died() -> KernelDiedError:
    """The error for a kernel that is gone while it is examined."""
    return KernelDiedError(
        "The kernel died at its start.",
        hint="Look into the server's log, and try another kernelspec: jrc run --kernel NAME",
    )


async def execution(context: Context) -> Finding:
    """The kernel answers."""
    talk = known(context.talk)
    heard = await _ask(talk, talk.messages.kernel_info(), until_idle=False)
    seconds = asyncio.get_running_loop().time() - context.kernel_began
    info = heard.reply.content_fields
    language = info.get("language_info")
    name = language.get("name", "") if isinstance(language, dict) else ""
    version = language.get("version", "") if isinstance(language, dict) else ""
    details = {
        "start_seconds": round(seconds, 3),
        "implementation": str(info.get("implementation", "")),
        "implementation_version": str(info.get("implementation_version", "")),
        "language": str(name),
        "language_version": str(version),
    }
    what = f"{name} {version}".strip() or "The kernel"
    message = f"{what} answered {seconds:.1f} s after the kernel was asked for"
    if seconds > SLOW_START_SECONDS:
        return doubtful(
            f"{message}: slow.",
            "Editors give up after 60 s; jrc connect --vscode makes VS Code wait longer.",
            **details,
        )
    return fine(f"{message}.", **details)


async def recorder(context: Context) -> Finding:
    """The kernel takes the recorder, which makes up for output that the server drops."""
    from jrc.recorder.install import (
        InstallOptions,
        NotPossible,
        install_content,
        parse_install_reply,
        with_source,
    )

    talk = known(context.talk)
    options = InstallOptions(run=f"doctor-{secrets.token_hex(4)}")
    request = with_source(talk.messages.of_content(install_content(options)))
    heard = await _ask(talk, request, until_idle=False)
    found = parse_install_reply(heard.reply)
    if isinstance(found, NotPossible):
        return doubtful(
            f"The kernel takes no recorder: {found.reason}.",
            "Runs work without it, one cell after the other; output that the server drops is lost.",
        )
    return fine(f"The kernel took the recorder (version {found.version}).", version=found.version)


async def throughput(context: Context) -> Finding:
    """How fast a large output arrives."""
    talk = known(context.talk)
    request = talk.messages.execute_silently(_PRINT.format(half=THROUGHPUT_BYTES // 2))
    began = asyncio.get_running_loop().time()
    heard = await _ask(talk, request)
    arrivals = [when for when, each in heard.published if each.msg_type == "display_data"]
    if not arrivals:
        return needless("Only a Python kernel with IPython can be asked for a large output.")
    # What the request needed to get there is not part of it.
    seconds = max(arrivals[-1] - began - context.round_trip, 1e-3)
    rate = THROUGHPUT_BYTES / seconds
    size = f"{THROUGHPUT_BYTES / 1048576:.0f} MiB arrived in {seconds:.2f} s"
    message = f"{size}: {rate / 1e6:.1f} MB/s"
    if rate < SLOW_BYTES:
        return doubtful(
            f"{message}: slow.",
            "Large outputs will take their time. A VPN, or a server far away?",
            bytes_per_second=round(rate),
        )
    return fine(f"{message}.", bytes_per_second=round(rate))


async def clean_up(context: Context) -> Finding:
    """The kernel of these checks is gone again."""
    kernel_id = known(context.kernel).id
    await end_kernel(context)
    if await known(context.client).kernel(kernel_id) is not None:
        return doubtful("The kernel was not deleted.", f"jrc kernel stop {shlex.quote(kernel_id)}")
    return fine("The kernel is deleted.")


async def end_kernel(context: Context) -> None:
    """Delete the kernel of these checks, unless that was done."""
    started, context.kernel = context.kernel, None
    if started is not None:
        await started.delete()


async def _end_at_last(context: Context, run: str) -> None:
    """Leave nothing behind, whatever happened: not even a kernel whose start was not waited for."""
    client = known(context.client)
    with suppress(JrcError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            if context.kernel is not None:
                await end_kernel(context)
                return
            for session in await client.sessions():
                if session.path.endswith(f"/doctor-{run}"):
                    await client.delete_session(session.id)
