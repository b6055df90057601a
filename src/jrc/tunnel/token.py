"""Fetch a Jupyter token from the cluster: from a Secret, or from the server in the pod itself."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from jrc.errors import NotFoundError, UsageError
from jrc.profile.route import Route
from jrc.profile.secret import Secret
from jrc.shapes import NotJsonError, parse
from jrc.tunnel.cause import CauseError, Kind
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.objects import read_secret_value, secret_keys
from jrc.tunnel.resolve import Found, Resolver

LIST_SERVERS = ("jupyter", "server", "list", "--json")


@dataclass(frozen=True)
class FromSecret:
    """A key of a Kubernetes Secret."""

    name: str
    key: str


@dataclass(frozen=True)
class FromPod:
    """The server in the pod: what it says when it is asked for its running servers."""


TokenSource = FromSecret | FromPod


@dataclass(frozen=True)
class Fetched:
    """What was found; ``base_url`` is known only from the pod, otherwise ``/``."""

    token: Secret
    base_url: str = "/"


def parse_source(text: str) -> TokenSource:
    """Read ``secret/NAME:KEY`` or ``pod``.

    Raises:
        UsageError: it is neither.
    """
    if text == "pod":
        return FromPod()
    word, _, rest = text.partition("/")
    name, _, key = rest.partition(":")
    if word == "secret" and name and key and not name.startswith("-"):
        return FromSecret(name, key)
    raise UsageError(
        f"{text!r} is not a place to take a token from.", hint="It is secret/NAME:KEY or pod."
    )


async def fetch_token(route: Route, source: TokenSource, profile: str) -> Fetched:
    """Fetch the token. It stays in memory: no file, no argument, no log sees it.

    Args:
        route: where the server is.
        source: where its token is.
        profile: its name, for hints.

    Raises:
        NotFoundError: there is no such Secret, key or server.
        JrcError: the cluster can't be asked; another class for each kind of cause.
    """
    kubectl = Kubectl(route)
    try:
        if isinstance(source, FromSecret):
            return await _from_secret(kubectl, source)
        return await _from_pod(kubectl, route)
    except CauseError as error:
        raise error.cause.error(profile, route) from error


async def _from_secret(kubectl: Kubectl, source: FromSecret) -> Fetched:
    try:
        secret = await kubectl.get("secret", source.name)
    except CauseError as error:
        if error.cause.kind is not Kind.NOT_FOUND:
            raise
        raise NotFoundError(
            f"There is no Secret {source.name!r} in {kubectl.where}.",
            hint=f"See which there are: {kubectl.typed} get secrets",
        ) from error
    encoded = read_secret_value(secret, source.key)
    if encoded is None:
        keys = ", ".join(secret_keys(secret)) or "none"
        raise NotFoundError(f"Secret {source.name} has no key {source.key!r}; it has {keys}.")
    try:
        token = base64.b64decode(encoded, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        token = ""  # none # nosec B105
    if not token:
        raise NotFoundError(f"Key {source.key!r} of Secret {source.name} does not hold a token.")
    return Fetched(Secret(token))


async def _from_pod(kubectl: Kubectl, route: Route) -> Fetched:
    found = await Resolver(route, kubectl).find()
    servers = await _servers_of(kubectl, found)
    here = next((server for server in servers if server.get("port") == found.port), None)
    server = here or (servers[0] if servers else None)
    if server is None:
        raise NotFoundError(
            f"`jupyter server list` in pod {found.pod} shows no server.",
            hint="Take the token from a Secret with --token-from secret/NAME:KEY, or type it in.",
        )
    token = server.get("token")
    if not isinstance(token, str) or not token:
        raise NotFoundError(
            f"The Jupyter Server in pod {found.pod} has no token.",
            hint="If it has a password, log in without --token-from.",
        )
    base_url = server.get("base_url")
    return Fetched(Secret(token), base_url if isinstance(base_url, str) else "/")


async def _servers_of(kubectl: Kubectl, found: Found) -> list[Mapping[str, object]]:
    """The servers of the pod: of the first container that has any.

    The one that declares the port comes first. It need not be the right one: the server may stand
    behind a proxy, and often the port is not declared.

    Raises:
        CauseError: no container has a server, and the last one could not be asked.
    """
    failure: CauseError | None = None
    for container in found.containers or ("",):
        where = ["--container", container] if container else []
        try:
            servers = running_servers(
                await kubectl.run("exec", found.pod, *where, "--", *LIST_SERVERS)
            )
        except CauseError as error:
            if error.cause.kind is not Kind.EXEC_FAILED:
                raise
            failure = failure or error
            continue
        if servers:
            return servers
    if failure:
        raise failure
    return []


def running_servers(output: str) -> list[Mapping[str, object]]:
    """The servers that ``jupyter server list --json`` names: one JSON object a line."""
    servers: list[Mapping[str, object]] = []
    for line in output.splitlines():
        try:
            server = parse(line)
        except NotJsonError:
            continue
        if isinstance(server, dict):
            servers.append(server)
    return servers
