"""``jrc login`` through Kubernetes: from the options to a tunnel that is up."""

import os
import re
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path

from jrc.cli.login.credentials import Credential
from jrc.cli.login.options import KubernetesOptions, LoginOptions
from jrc.cli.login.target import LoginTarget
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import ConfigError, JrcError, NotFoundError, UnreachableError, UsageError
from jrc.profile.model import Profile, check_name
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.server.address import ServerAddress
from jrc.server.detect import BaseUrlError
from jrc.server.hints import name_login
from jrc.tunnel.cause import CauseError, completed
from jrc.tunnel.connect import ensure_keeper, keeper_status, spec_of, stop_keeper
from jrc.tunnel.discover import Candidate, Context, find_candidates, find_contexts, find_port
from jrc.tunnel.keeper import preferred_ports
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.resolve import Resolver
from jrc.tunnel.target import Target, TargetKind
from jrc.tunnel.token import Fetched, fetch_token, parse_source


async def target_in_cluster(
    options: LoginOptions, saved: Mapping[str, Profile], terminal: Terminal, paths: Paths
) -> LoginTarget:
    """Bring up the tunnel that the options, or the saved profile that they name, describe.

    Raises:
        UsageError: an option can't be understood.
        NotFoundError: there is no such context, target or token.
        JrcError: the tunnel does not come up; another class for each kind of cause.
    """
    typed, name = options.kubernetes, options.profile
    before = saved.get(check_name(name)) if name else None
    source = parse_source(typed.token_from) if typed.token_from else None
    route = await _route(typed, before.kubernetes if before else None, terminal)
    name = name or _free_name(route, saved)
    fetched = await fetch_token(route, source, name) if source else None
    path = _path(typed.base_url, fetched, before)
    profile = Profile(name, f"http://127.0.0.1:{_port(name, saved)}{path}", kubernetes=route)
    url, brought_up = await _bring_up(profile, terminal, paths, saved=before is not None)
    return LoginTarget(
        address=ServerAddress.parse(url)[0],
        name=name,
        before=saved.get(name),
        first=not saved,
        pasted=Credential(fetched.token, "token") if fetched else None,
        in_cluster=profile,
        brought_up=brought_up,
    )


async def _bring_up(
    profile: Profile, terminal: Terminal, paths: Paths, *, saved: bool
) -> tuple[str, bool]:
    """Bring up the tunnel of a profile.

    Args:
        saved: a profile of that name exists.

    Returns:
        where the server answers on this machine, and whether the tunnel was not up before.
    """
    spec = spec_of(profile)
    before = keeper_status(profile.name, paths)
    was_up = before is not None and before.spec == spec and before.runs()
    try:
        with TunnelTalk(terminal) as talk:
            status = await ensure_keeper(spec, paths, on_progress=talk)
    except BaseException:
        if not saved:
            # Nobody can ask for the state of a tunnel that has no profile.
            stop_keeper(profile.name, paths)
        raise
    terminal.say(f"The tunnel to {spec.route.target} (pod {status.pod}) is up.")
    await _warn_of_other_pods(spec.route, terminal)
    return status.url, not was_up


async def _warn_of_other_pods(route: Route, terminal: Terminal) -> None:
    """Several pods behind a Service are worth a warning, before kernels are missing."""
    try:
        found = await Resolver(route, Kubectl(route)).find()
    except CauseError:
        return
    if several := found.several(route.target):
        terminal.warn(
            f"{several} jrc stays with one while it is ready. To choose it yourself: "
            f"--target pod/NAME --port {found.port}"
        )


def named_in_cluster(error: JrcError, target: LoginTarget, token_from: str | None) -> JrcError:
    """The error of a login behind a tunnel, whose local address is nothing to type.

    Args:
        error: of the login.
        target: what the login was about.
        token_from: as it was typed.
    """
    profile = target.in_cluster
    assert profile
    assert profile.kubernetes
    route, path = profile.kubernetes, spec_of(profile).path
    token = f" --token-from {shlex.quote(token_from)}" if token_from else ""
    if not isinstance(error, BaseUrlError):
        urls = [target.address.base_url, *([target.before.url] if target.before else [])]
        name_login(error, completed("jrc login", profile.name, route), urls)
        return error
    base_url = shlex.quote(error.path) if error.path else "/PREFIX/"
    again = completed(f"jrc login --base-url {base_url}{token}", profile.name, route)
    if error.path:
        message = f"The Jupyter Server behind {route.target} is not at {path} but at {error.path}."
        return UnreachableError(message, hint=again)
    return UnreachableError(
        f"There is no Jupyter Server at {path} behind {route.target} (HTTP 404).",
        hint=f"If it has a base URL, add it: {again}",
    )


async def _route(typed: KubernetesOptions, before: Route | None, terminal: Terminal) -> Route:
    kubeconfig = _kubeconfig()
    context = await _context(typed, before, kubeconfig, terminal)
    same = before if before and before.context == context.name else None
    namespace = typed.namespace or (same.namespace if same else context.namespace)
    target, port = typed.target, typed.port
    if target is None and same:
        target, port = same.target, port or same.port
    if target is None:
        place = Route(context.name, namespace, "", 0, kubeconfig)
        chosen = _choose(await find_candidates(place), place, terminal)
        target, port = chosen.target, port or chosen.port
    target = str(Target.parse(target))
    if port is None:
        port = await find_port(Route(context.name, namespace, target, 0, kubeconfig))
    return Route(
        context=context.name,
        namespace=namespace,
        target=target,
        port=port,
        kubeconfig=kubeconfig,
        **({"idle_minutes": same.idle_minutes} if same else {}),
    )


async def _context(
    typed: KubernetesOptions, before: Route | None, kubeconfig: str, terminal: Terminal
) -> Context:
    contexts, current = await find_contexts(kubeconfig)
    known = {context.name: context for context in contexts}
    asked = typed.context or (before.context if before else None)
    name = asked or current
    if name not in known:
        if name:
            raise NotFoundError(
                f"kubectl has no context {name!r}; it has {', '.join(known) or 'none'}.",
                hint="See: kubectl config get-contexts",
            )
        raise ConfigError(
            "kubectl has no current context.", hint=f"Add --context, one of: {', '.join(known)}"
        )
    if not asked:
        terminal.say(f"From now on this profile uses context '{name}', kubectl's current one.")
    return known[name]


def _choose(found: list[Candidate], place: Route, terminal: Terminal) -> Candidate:
    """Ask which one to take of what looks like Jupyter."""
    where = f"namespace '{place.namespace}' of context '{place.context}'"
    if not found:
        raise NotFoundError(
            f"Nothing in {where} looks like Jupyter.",
            hint="Name it with --target svc/NAME --port PORT.",
        )
    if len(found) == 1:
        terminal.say(f"Found {found[0].target} ({found[0].why}) in {where}.")
        return found[0]
    terminal.say(f"These in {where} look like Jupyter:")
    for number, candidate in enumerate(found, 1):
        terminal.say(f"  {number}  {candidate.target}, port {candidate.port} ({candidate.why})")
    answer = terminal.ask("Which one", without="Add --target, one of the above.").strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(found):
        raise UsageError(f"{answer!r} is not one of 1 to {len(found)}.")
    return found[int(answer) - 1]


def _kubeconfig() -> str:
    """``KUBECONFIG`` with whole paths: the tunnel's process runs in another folder."""
    files = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    return os.pathsep.join(str(Path(file).expanduser().absolute()) for file in files if file)


def _path(base_url: str | None, fetched: Fetched | None, before: Profile | None) -> str:
    """The server's base path: as asked for, as the pod says, or as it was."""
    if base_url is not None:
        path = base_url
    elif fetched and fetched.base_url != "/":
        path = fetched.base_url
    else:
        path = spec_of(before).path if before and before.kubernetes else "/"
    stripped = path.strip("/")
    if re.search(r"[\s?#]|://", stripped):
        raise UsageError(f"{path!r} is not a base URL.", hint="It looks like /team/.")
    return f"/{stripped}/" if stripped else "/"


def _free_name(route: Route, saved: Mapping[str, Profile]) -> str:
    """A name made of the target; that of the profile that leads there already, if there is one."""
    for name, profile in saved.items():
        there = profile.kubernetes
        if there and (there.context, there.namespace, there.target) == (
            *(route.context, route.namespace, route.target),
        ):
            return name
    target = Target.parse(route.target)
    text = target.name
    if target.kind is TargetKind.SELECTOR:
        text = re.split(r"[=,\s]+", text)[1]
    wanted = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60] or "jupyter"
    name, number = wanted, 2
    while name in saved:
        name, number = f"{wanted}-{number}", number + 1
    return name


def _port(name: str, saved: Mapping[str, Profile]) -> int:
    """The local port of the profile: the one that it has, else one that is free now."""
    before = saved.get(name)
    if before and before.kubernetes:
        return spec_of(before).port
    taken = {spec_of(profile).port for profile in saved.values() if profile.kubernetes}
    for port in preferred_ports(name):
        if port not in taken and _is_free(port):
            return port
    raise ConfigError("No local port is free for the tunnel.")


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        if os.name == "posix":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
