"""Checks of the way through Kubernetes: kubectl, context, rights, pod, tunnel."""

import json
from collections.abc import Iterator, Mapping

from jrc.doctor.context import Context, known
from jrc.doctor.finding import Finding, doubtful, failure, fine
from jrc.errors import AuthError, ConfigError, JrcError
from jrc.profile.route import Route
from jrc.server.address import ServerAddress
from jrc.tunnel.cause import CauseError
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.target import Target, TargetKind

ROLE_HINT = "Ask for the role in docs/tunnel.md, which lists the few rights that a tunnel needs."

_OWNERS = {
    TargetKind.SERVICE: "services",
    TargetKind.DEPLOYMENT: "deployments.apps",
    TargetKind.STATEFULSET: "statefulsets.apps",
}


def rights_for(target: Target) -> Iterator[tuple[str, str]]:
    """The verbs and resources that a tunnel to a target needs."""
    if owner := _OWNERS.get(target.kind):
        yield "get", owner
    yield ("get" if target.kind is TargetKind.POD else "list"), "pods"
    yield "create", "pods/portforward"


async def kubectl(context: Context) -> Finding:
    """kubectl is there, and how old it is."""
    program = Kubectl(_route(context))
    try:
        said = await program.run("version", "--client", "-o", "json", bare=True)
    except CauseError as error:
        raise error.cause.error() from error
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
        raise error.cause.error() from error
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
    denied = []
    try:
        for verb, resource in rights:
            if not await program.can_i(verb, resource):
                denied.append(f"{verb} {resource}")
    except CauseError as error:
        return doubtful(
            f"The cluster does not tell what you may do: {error.cause.message}",
            "Nothing, if the pod and the tunnel are fine.",
        )
    if denied:
        raise AuthError(
            f"In namespace {route.namespace!r} you may not: {', '.join(denied)}.", hint=ROLE_HINT
        )
    allowed = [f"{verb} {resource}" for verb, resource in rights]
    return fine(f"You may {', '.join(allowed)} in namespace {route.namespace!r}.", rights=allowed)


async def pod(context: Context) -> Finding:
    """The target leads to a pod that is ready."""
    from jrc.tunnel.resolve import Resolver

    route = _route(context)
    try:
        found = await Resolver(route, Kubectl(route)).find()
    except CauseError as error:
        raise error.cause.error() from error
    return fine(
        f"{route.target} leads to pod {found.pod}, port {found.port}.",
        pod=found.pod,
        port=found.port,
    )


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
            "End that program, then: jrc disconnect, jrc connect",
            **details,
        )
    how = "was up" if was_up else "came up"
    return fine(f"The tunnel {how}: {status.url} leads to pod {status.pod}.", **details)


def version_in(text: str, key: str) -> str:
    """The version in the answer of ``kubectl version -o json``; ``unknown`` where it has none."""
    try:
        answer = json.loads(text)
    except ValueError:
        return "unknown"
    found = answer.get(key) if isinstance(answer, Mapping) else None
    version = found.get("gitVersion") if isinstance(found, Mapping) else None
    return version.removeprefix("v") if isinstance(version, str) else "unknown"


def _route(context: Context) -> Route:
    route = known(context.profile).kubernetes
    if route is None:
        raise JrcError("This profile needs no cluster.")
    return route
