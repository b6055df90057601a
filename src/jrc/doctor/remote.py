"""Checks of the server over HTTP: what it is, credentials, kernelspecs, clock, round trips."""

import asyncio
import shlex
import statistics
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from jrc.doctor.check import Context, Finding, doubtful, fine, known, needless
from jrc.errors import NotFoundError
from jrc.profile.secrets import SecretStore
from jrc.server.address import ServerAddress
from jrc.server.hints import login
from jrc.server.http import Answer, HttpClient, Request
from jrc.tasks import in_daemon_thread

ROUND_TRIPS = 9
"""The first one also connects and does not count."""

SLOW_SECONDS = 0.5
"""A round trip that is longer makes an editor feel slow."""

SKEW_SECONDS = 30.0
"""Clocks that differ more break signed tokens and make certificates look invalid."""


async def server(context: Context) -> Finding:
    """What answers at the URL."""
    from jrc.server.detect import detect

    address = known(context.address)
    found = await detect(address, context.way)
    details = {"kind": found.kind, "version": found.version, "auth": found.auth}
    message = f"{found.title} at {address.base_url}"
    profile = context.profile
    if profile is not None and found.auth == "none" and not address.is_loopback:
        return doubtful(
            f"{message}, open to everybody: it asks for no token.",
            "Start it with a token. Whoever reaches it can run code as you.",
            **details,
        )
    if profile is not None and found.kind != profile.kind:
        return doubtful(
            f"{message}; the profile takes it for a {profile.kind}.",
            f"Log in again: {login(profile.name)}",
            **details,
        )
    return fine(f"{message}.", **details)


async def authentication(context: Context) -> Finding:
    """The server accepts the credentials."""
    from jrc.server.open import open_profile

    profile = context.profile
    if profile is not None:
        context.client = await context.stack.enter_async_context(open_profile(profile))
    await known(context.client).verify()
    if profile is None:
        return fine("The server accepts its token.", auth="token")
    if profile.auth == "none":
        return fine("The server asks for none.", auth="none")
    name = profile.name
    places = await in_daemon_thread(SecretStore(context.paths).sources, name, name="doctor")
    place = places[0].value if places else "url"
    return fine(
        f"The server accepts the {profile.auth} (from the {place}).",
        auth=profile.auth,
        found_in=place,
    )


async def kernelspecs(context: Context) -> Finding:
    """The server has kernels to start."""
    specs = context.specs = await known(context.client).kernelspecs()
    names = sorted(specs.specs)
    if not names:
        raise NotFoundError(
            "The server has no kernelspec at all.",
            hint="Install a kernel on the server: pip install ipykernel",
        )
    details = {"default": specs.default, "names": names}
    if specs.default not in specs.specs:
        return doubtful(
            f"The server's default kernel {specs.default!r} does not exist. It has: "
            f"{', '.join(names)}.",
            f"Name one: jrc run --kernel {shlex.quote(names[0])} FILE",
            **details,
        )
    return fine(f"{', '.join(names)}; the default is {specs.default}.", **details)


async def clock(context: Context) -> Finding:
    """The server's clock and this machine's agree."""
    async with _http(context) as http:
        before = time.time()
        answer = await _ask(http, known(context.address))
        after = time.time()
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return needless("The server does not send its time.")
    # The header has whole seconds: on average half a second is cut off.
    skew = theirs + 0.5 - (before + after) / 2
    off = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
    if abs(skew) > SKEW_SECONDS:
        return doubtful(
            f"The server's clock is {off} this machine's.",
            "Set the one that is wrong: with systemd, timedatectl set-ntp true",
            skew_seconds=round(skew, 1),
        )
    return fine("The clocks of server and machine agree.", skew_seconds=round(skew, 1))


async def round_trip(context: Context) -> Finding:
    """How long a small request takes on an open connection."""
    loop = asyncio.get_running_loop()
    times = []
    async with _http(context) as http:
        for _ in range(ROUND_TRIPS):
            began = loop.time()
            await _ask(http, known(context.address))
            times.append(loop.time() - began)
    context.round_trip = statistics.median(times[1:])
    return judge_round_trips(times[1:])


def judge_round_trips(seconds: Sequence[float]) -> Finding:
    """The finding for the times of requests, in seconds."""
    median = statistics.median(seconds)
    message = (
        f"{_ms(median)} (median of {len(seconds)}; {_ms(min(seconds))} to {_ms(max(seconds))})"
    )
    details = {
        "median_seconds": round(median, 4),
        "min_seconds": round(min(seconds), 4),
        "max_seconds": round(max(seconds), 4),
    }
    if median > SLOW_SECONDS:
        return doubtful(
            f"{message}: slow.", "A VPN or a server far away? See docs/howto/doctor.md.", **details
        )
    return fine(f"{message}.", **details)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _http(context: Context) -> HttpClient:
    return HttpClient(known(context.address), context.way)


async def _ask(http: HttpClient, address: ServerAddress) -> Answer:
    """``GET /api``: small, and asks for no credentials."""
    return await http.send(Request("GET", address.rest("api"), seconds=10.0))
