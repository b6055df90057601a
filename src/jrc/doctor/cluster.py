"""Checks of the way through Kubernetes: kubectl, context, rights, pod, tunnel."""

import re
from collections.abc import Iterator

from jrc.doctor.check import Context, Finding, doubtful, failure, fine, known
from jrc.errors import AuthError, ConfigError, JrcError
from jrc.profile.route import Route
from jrc.server.address import ServerAddress
from jrc.shapes import NotJsonError, parse, text_at
from jrc.tunnel.cause import CauseError, completed
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.target import Target, TargetKind

ROLE_HINT = "Ask for the role in docs/tunnel.md, which lists the few rights that a tunnel needs."

_OWNERS = {
    TargetKind.SERVICE: "services",
    TargetKind.DEPLOYMENT: "deployments.apps",
    TargetKind.STATEFULSET: "statefulsets.apps",
}


WEBSOCKET = (1, 31)
"""From this version on kubectl forwards through a websocket, which is a GET."""


def rights_for(target: Target) -> Iterator[tuple[str, str]]:
    """The verbs and resources that a tunnel to a target needs."""
    if owner := _OWNERS.get(target.kind):
        yield "get", owner
    yield "get", "pods"
    if target.kind is not TargetKind.POD:
        yield "list", "pods"
    yield "create", "pods/portforward"


async def kubectl(context: Context) -> Finding:
    """kubectl is there, and how old it is."""
    program = Kubectl(_route(context))
    try:
        said = await program.run("version", "--client", "-o", "json", bare=True)
    except CauseError as error:
        raise _error(error, context) from error
    found = version_in(said, "clientVersion")
    return fine(f"kubectl {found} ({program.program}).", version=found)


async def cluster(context: Context) -> Finding:
    """The context exists, and its API server answers."""
    from jrc.tunnel.discover import find_contexts

    route = _route(context)
    contexts, _ = await find_contexts(route.kubeconfig)
    names = [each.name for each in contexts]
    if route.context not in names:
        return failure(
            ConfigError(
                f"kubectl has no context {route.context!r}. It has: {', '.join(names) or 'none'}.",
                hint="Fetch the cluster's kubeconfig, or log in again with --context.",
            )
        )
    try:
        said = await Kubectl(route).run("version", "-o", "json", "--request-timeout=10s")
    except CauseError as error:
        raise _error(error, context) from error
    version = version_in(said, "serverVersion")
    return fine(
        f"The API server of {route.context!r} answers (Kubernetes {version}).",
        context=route.context,
        namespace=route.namespace,
        server_version=version,
    )


async def permissions(context: Context) -> Finding:
    """The cluster allows what a tunnel needs."""
    route = _route(context)
    rights = list(rights_for(Target.parse(route.target)))
    program = Kubectl(route)
    try:
        denied = [f"{verb} {kind}" for verb, kind in rights if not await program.can_i(verb, kind)]
        falls_back = not denied and await _falls_back(program)
    except CauseError as error:
        return doubtful(
            f"The cluster does not say what you are allowed to do: {error.cause.message}",
            "Nothing, if the pod and the tunnel are fine.",
        )
    if denied:
        raise AuthError(
            f"In namespace {route.namespace!r} you may not: {', '.join(denied)}.", hint=ROLE_HINT
        )
    allowed = [f"{verb} {resource}" for verb, resource in rights]
    if falls_back:
        return doubtful(
            f"In namespace {route.namespace!r} you may not get pods/portforward: kubectl gets no "
            "websocket and forwards in its old way (SPDY).",
            ROLE_HINT,
            rights=allowed,
        )
    return fine(f"You may {', '.join(allowed)} in namespace {route.namespace!r}.", rights=allowed)


async def _falls_back(program: Kubectl) -> bool:
    """Whether kubectl would use a websocket, and may not."""
    version = version_in(
        await program.run("version", "--client", "-o", "json", bare=True), "clientVersion"
    )
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return tuple(numbers) >= WEBSOCKET and not await program.can_i("get", "pods/portforward")


async def pod(context: Context) -> Finding:
    """The target leads to a pod that is ready."""
    from jrc.tunnel.resolve import Resolver

    route = _route(context)
    try:
        found = await Resolver(route, Kubectl(route)).find()
    except CauseError as error:
        raise _error(error, context) from error
    details = {"pod": found.pod, "port": found.port, "others": list(found.others)}
    message = f"{route.target} leads to pod {found.pod}, port {found.port}."
    if found.others:
        again = f"jrc login --target pod/{found.pod} --port {found.port}"
        name = known(context.profile).name
        return doubtful(
            f"{message} {found.several(route.target)}",
            f"Run one replica, or stay with one pod: {completed(again, name, route)}",
            **details,
        )
    return fine(message, **details)


async def tunnel(context: Context) -> Finding:
    """The tunnel comes up, or is up."""
    from jrc.tunnel.connect import is_ready, spec_of
    from jrc.tunnel.use import in_use

    spec = spec_of(known(context.profile))
    was_up = is_ready(spec, context.paths)
    status = await context.stack.enter_async_context(in_use(spec, context.paths))
    context.address, _ = ServerAddress.parse(status.url)
    details = {"pod": status.pod, "port": status.port, "restarts": status.restarts}
    if status.moved:
        return doubtful(
            f"The tunnel is up, but at port {status.port}: another program has {spec.port}.",
            f"End that program, then: jrc disconnect {spec.profile} && jrc connect {spec.profile}",
            **details,
        )
    how = "was up" if was_up else "came up"
    return fine(f"The tunnel {how}: {status.url} leads to pod {status.pod}.", **details)


def version_in(text: str, key: str) -> str:
    """The version in the answer of ``kubectl version -o json``; ``unknown`` where it has none."""
    try:
        version = text_at(parse(text), key, "gitVersion")
    except NotJsonError:
        return "unknown"
    return version.removeprefix("v") or "unknown"


def _error(error: CauseError, context: Context) -> JrcError:
    return error.cause.error(known(context.profile).name, _route(context))


def _route(context: Context) -> Route:
    route = known(context.profile).kubernetes
    if route is None:
        raise JrcError("This profile needs no cluster.")
    return route
