"""Use a tunnel: it is up at the beginning, and what goes wrong with it later is reported.

A keeper that dies is replaced. One that gave up, or was ended on purpose, is not: then
``final_failure`` is why.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from jrc.errors import JrcError, KernelDiedError, UnreachableError
from jrc.profile.paths import Paths
from jrc.tunnel.cause import CauseError, Kind
from jrc.tunnel.connect import (
    Progress,
    ensure_keeper,
    failure_of,
    keeper_status,
    restart_keeper,
)
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.machine import Phase
from jrc.tunnel.objects import Pod, read_pod
from jrc.tunnel.status import KeeperFiles, KeeperStatus, Spec
from jrc.tunnel.trouble import ContainerEnd

WATCH_SECONDS = 0.25
"""How often to check that the keeper lives."""

ASK_SECONDS = 5.0
"""How long the cluster may take to say what happened to a pod."""

CLOCKS_SECONDS = 60.0
"""By how much the cluster's clock may differ from this machine's."""


@asynccontextmanager
async def in_use(
    spec: Spec, paths: Paths, *, on_progress: Progress | None = None
) -> AsyncIterator[KeeperStatus]:
    """Use a profile's tunnel: it is up at the start, and a keeper that dies meanwhile is replaced.

    Args:
        spec: the profile's tunnel.
        paths: where keepers leave their files.
        on_progress: called with each new state while it comes up.

    Raises:
        JrcError: as ``ensure_keeper``. Where the block fails because the server is out of reach or
            the kernel is gone, and the tunnel knows why, the reason is that of the tunnel.
    """
    first = await ensure_keeper(spec, paths, on_progress=on_progress)
    since = time.time()
    replacing = asyncio.create_task(_replace_dead_keepers(spec, paths), name="keeper watch")
    try:
        yield first
    except UnreachableError as error:
        better = explained(
            error, keeper_status(spec.profile, paths), final_failure(spec.profile, paths)
        )
        if better is error:
            raise
        raise better from error
    except KernelDiedError as error:
        if fate := await _fate_of_pod(first, keeper_status(spec.profile, paths), since):
            raise KernelDiedError(fate, hint=error.hint) from error
        raise
    finally:
        replacing.cancel()
        await asyncio.gather(replacing, return_exceptions=True)


def final_failure(profile: str, paths: Paths) -> JrcError | None:
    """Why a profile's tunnel is down for good; None where it is up, or may come back by itself."""
    files = KeeperFiles.of(paths, profile)
    status = files.read()
    if status is not None and status.phase is Phase.FAILED and status.cause:
        return failure_of(status.cause, status.spec)
    if files.ended and (status is None or not status.runs()):
        return UnreachableError(
            f"The tunnel of '{profile}' was ended (jrc disconnect).",
            hint=f"To bring it up again, type: jrc connect {profile}",
        )
    return None


def explained(
    error: UnreachableError, now: KeeperStatus | None, final: JrcError | None
) -> JrcError:
    """The error for a server that is out of reach, with the tunnel's cause where it knows one.

    Args:
        error: what the user of the tunnel found.
        now: the keeper; None where there is none.
        final: why the tunnel is down for good.
    """
    if final is not None:
        # The hint of the error is about the run.
        hints = [hint for hint in (final.hint, error.hint) if hint]
        final.hint = " — ".join(dict.fromkeys(hints)) or None
        return final
    if now is not None and now.phase is not Phase.READY and now.cause:
        if now.cause.message in error.message:
            return error
        message = f"{error.message} The tunnel is down: {now.cause.message}"
        return UnreachableError(message, hint=error.hint or failure_of(now.cause, now.spec).hint)
    return error


async def _replace_dead_keepers(spec: Spec, paths: Paths) -> None:
    """Start another keeper when the one in use has died. Not where it gave up or was ended."""
    files = KeeperFiles.of(paths, spec.profile)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        status = files.read()
        if (status is None or not status.runs()) and final_failure(spec.profile, paths) is None:
            with contextlib.suppress(JrcError):
                await restart_keeper(spec, paths)


async def _fate_of_pod(first: KeeperStatus, now: KeeperStatus | None, since: float) -> str:
    """What happened to the pod of the tunnel; empty where it is as before, or not known.

    Args:
        first: the keeper at the beginning.
        now: the keeper at the end; None where there is none.
        since: when the use of the tunnel began, in seconds since 1970.
    """
    if now is not None and now.uid and now.uid != first.uid and now.pod != first.pod:
        return f"Pod {first.pod} was replaced by {now.pod}: all its kernels are gone."
    kubectl = Kubectl(first.spec.route)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            pod = read_pod(await kubectl.get("pod", first.pod))
    except TimeoutError:
        return ""
    except CauseError as error:
        gone = error.cause.kind is Kind.NOT_FOUND
        return f"Pod {first.pod} was deleted: all its kernels are gone." if gone else ""
    if pod.terminating:
        return f"Pod {first.pod} is being deleted: all its kernels are gone."
    if first.uid and pod.uid != first.uid:
        return f"Pod {first.pod} was deleted and made anew: all its kernels are gone."
    end = _restarted(pod, first.spec.route.port, since)
    if end is None:
        return ""
    return (
        f"The container {end.container} of the pod {first.pod} was restarted after it had ended "
        f"with {end.how}: all its kernels are gone."
    )


def _restarted(pod: Pod, port: int, since: float) -> ContainerEnd | None:
    """The end of the server's container behind this time; None for no end."""
    declare = {each.container for each in pod.ports if each.number == port}
    for end in pod.ends:
        # No kernel runs in the containers beside the server.
        if declare and end.container not in declare:
            continue
        with contextlib.suppress(ValueError):
            if datetime.fromisoformat(end.at).timestamp() > since - CLOCKS_SECONDS:
                return end
    return None
