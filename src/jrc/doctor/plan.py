"""Which checks are made, in which order, and which need which. Pure."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from jrc.doctor import cluster, kernel, local, network, remote
from jrc.doctor.check import Check, Finding, Verdict
from jrc.errors import UsageError
from jrc.profile.model import Profile
from jrc.server.address import ServerAddress

LOCAL = (
    Check("python", local.python),
    Check("config", local.config),
    Check("secrets", local.secrets, late="The disk of your home folder does not answer."),
    Check("editors", local.editors, late="A folder on your search path does not answer."),
)
"""What needs no server. ``config`` says which profile is meant."""

_LOGIN = "A login program of kubectl may wait for you: try kubectl get pods"

_CLUSTER = (
    Check("kubectl", cluster.kubectl, ("config",), 20.0, "Try: kubectl version --client"),
    Check("context", cluster.cluster, ("kubectl",), 40.0, _LOGIN),
    Check("permissions", cluster.permissions, ("context",), 60.0, _LOGIN),
    Check("pod", cluster.pod, ("permissions",), 40.0, _LOGIN),
    Check("tunnel", cluster.tunnel, ("pod",), 125.0, "See: jrc status"),
)
_EMBEDDED = (Check("embedded-server", local.embedded, ("config",), 75.0),)
_NETWORK = (
    Check("dns", network.dns, ("config",), 10.0, "The name server does not answer."),
    Check("tcp", network.tcp, ("dns",), 12.0),
)
_TLS = (Check("tls", network.tls, ("tcp",), 12.0),)
_SERVER = (
    Check("server", remote.server, ("embedded-server", "tunnel", "tls", "tcp"), 45.0),
    Check("clock", remote.clock, ("server",), 15.0),
    Check("round-trip", remote.round_trip, ("server",), 60.0),
    Check("authentication", remote.authentication, ("secrets", "server"), 60.0),
    Check("kernelspecs", remote.kernelspecs, ("authentication",), 40.0),
    Check(
        "kernel",
        kernel.kernel,
        ("kernelspecs",),
        130.0,
        "Does the server have memory and processors left? See its log.",
    ),
    Check(
        "websocket",
        kernel.websocket,
        ("kernel",),
        75.0,
        "The server opens it when the kernel answers: see the server's log for why it does not.",
    ),
    Check(
        "execution",
        kernel.execution,
        ("websocket",),
        60.0,
        "The kernel starts slowly or not at all: see the server's log.",
    ),
    Check("recorder", kernel.recorder, ("execution",), 30.0),
    Check(
        "throughput",
        kernel.throughput,
        ("execution",),
        60.0,
        "The line is too slow for large outputs, or the server stopped sending.",
    ),
    Check("clean-up", kernel.clean_up, ("kernel",), 30.0, "See: jrc kernel list"),
)
_SEEN = (Check("editor-kernelspecs", local.editor_kernelspecs, ("config",)),)


def plan(profile: Profile | None, *, known: bool) -> tuple[Check, ...]:
    """What to check after the ``LOCAL`` checks.

    Args:
        profile: what is examined; None for the embedded server.
        known: False when the configuration can't be read: then all other checks are skipped.
    """
    if not known:
        return (*_NETWORK, *_SERVER, *_SEEN)
    if profile is None:
        return (*_EMBEDDED, *_SERVER)
    if profile.kubernetes is not None:
        return (*_CLUSTER, *_SERVER, *_SEEN)
    return (*_NETWORK, *(_TLS if _is_tls(profile.url) else ()), *_SERVER, *_SEEN)


def _is_tls(url: str) -> bool:
    with suppress(UsageError):
        return ServerAddress.parse(url)[0].is_tls
    return False


def blockers(needs: Sequence[str], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """The failed checks because of which a check with these needs is skipped, each one once.

    A need that was skipped itself is not named: what it was skipped for is.

    Args:
        needs: names of checks.
        found: what the checks so far have found, by name.
    """
    names: list[str] = []
    for need in needs:
        finding = found.get(need)
        if finding is not None and not finding.passes:
            names += [need] if finding.verdict is Verdict.FAILED else finding.because
    return tuple(dict.fromkeys(names))
