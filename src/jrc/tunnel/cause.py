"""Why a tunnel is down: the kinds of causes, which of them end it, and their messages."""

import shlex
from dataclasses import dataclass
from enum import StrEnum

from jrc.errors import AuthError, ConfigError, JrcError, NotFoundError, UnreachableError
from jrc.profile.route import Route


class Kind(StrEnum):
    """What went wrong. The value stands in the state file and in ``--json``."""

    LOST = "lost"
    NOT_LISTENING = "not-listening"
    NOTHING_LISTENS = "nothing-listens"
    RESET = "reset"
    POD_GONE = "pod-gone"
    STALLED = "stalled"
    NO_POD = "no-pod"
    POD_STUCK = "pod-stuck"
    SELECTS_NOTHING = "selects-nothing"
    POD_NOT_RUNNING = "pod-not-running"
    KUBELET = "kubelet"
    API_UNREACHABLE = "api-unreachable"
    DNS = "dns"
    TIMEOUT = "timeout"
    APP_ERROR = "app-error"
    PORT_TAKEN = "port-taken"
    TLS = "tls"
    NOT_FOUND = "not-found"
    BAD_PORT = "bad-port"
    BAD_TARGET = "bad-target"
    BAD_SELECTOR = "bad-selector"
    BAD_CONTEXT = "bad-context"
    BAD_KUBECONFIG = "bad-kubeconfig"
    NO_KUBECONFIG = "no-kubeconfig"
    NO_KUBECTL = "no-kubectl"
    NO_CREDENTIALS = "no-credentials"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    PLUGIN_FAILED = "plugin-failed"
    PLUGIN_MISSING = "plugin-missing"
    EXEC_FAILED = "exec-failed"


@dataclass(frozen=True)
class Cause:
    """Why the tunnel is down.

    Attributes:
        message: what happened to which object, and why; one sentence or two.
        hint: what to do about it; empty when it passes by itself. ``jrc login`` in it still lacks
            the profile and its target: see :func:`completed`.
    """

    kind: Kind
    message: str
    hint: str = ""

    @property
    def fatal(self) -> bool:
        """Trying again does not help, unless the same worked a moment ago; see ``machine``."""
        return _MESSAGES[self.kind].error is not None

    @property
    def seldom_passes(self) -> bool:
        """It may pass, but usually only after a person has done something: a command does not wait.

        The keeper goes on trying.
        """
        return self.kind in _SELDOM_PASSES

    @property
    def unreachable(self) -> bool:
        """The cluster itself can't be reached."""
        return self.kind in _NO_CLUSTER

    def error(self, profile: str = "", route: Route | None = None) -> JrcError:
        """The cause as the error that a command ends with; its hint works as it is printed.

        Args:
            profile: the name of the tunnel's profile, which need not be saved yet.
            route: the tunnel's way; None where there is none yet.
        """
        message = _MESSAGES[self.kind]
        hint = completed(self.hint, profile, route) if route else self.hint
        return (message.error or message.given_up)(self.message, hint=hint or None)


_NO_CLUSTER = frozenset({Kind.API_UNREACHABLE, Kind.DNS, Kind.TIMEOUT, Kind.KUBELET})
_SELDOM_PASSES = _NO_CLUSTER | {Kind.POD_STUCK, Kind.SELECTS_NOTHING, Kind.NOTHING_LISTENS}


class CauseError(UnreachableError):
    """Carries a cause inside the tunnel's room, and never leaves it."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


@dataclass(frozen=True)
class _Message:
    """What is said about a kind. Texts may name {where}, {subject}, {login}, {kubectl} and {about}.

    Attributes:
        error: what a fatal cause becomes; None for one that may pass.
        given_up: what another one becomes when a command stops waiting.
    """

    text: str
    hint: str = ""
    error: type[JrcError] | None = None
    given_up: type[JrcError] = UnreachableError


_NETWORK = "Check the network and the VPN, then try: {kubectl} get pods"
_NEW_KUBECONFIG = "Ask the administrator of the cluster for a new kubeconfig."
_AGAIN = "then try again."

_MESSAGES = {
    Kind.LOST: _Message("kubectl lost the connection to the pod"),
    Kind.NOT_LISTENING: _Message(
        "Nothing listens on the pod's port yet",
        "If it stays so, name another port: jrc login --port PORT",
    ),
    Kind.NOTHING_LISTENS: _Message("{subject}", "Name the port of Jupyter: jrc login {about}"),
    Kind.RESET: _Message("The server in the pod reset a connection"),
    Kind.POD_GONE: _Message("The pod is gone"),
    Kind.STALLED: _Message("The connection to the pod is open but nothing passes"),
    Kind.NO_POD: _Message("{subject}", "See its events: {kubectl} describe {about}"),
    Kind.POD_STUCK: _Message("{subject}", "See its events: {kubectl} describe {about}"),
    Kind.SELECTS_NOTHING: _Message(
        "{subject}", "See what is there: {kubectl} get {about}", given_up=NotFoundError
    ),
    Kind.POD_NOT_RUNNING: _Message("The pod is not running"),
    Kind.KUBELET: _Message(
        "The cluster can't reach the pod's node", "See: {kubectl} get pods -o wide"
    ),
    Kind.API_UNREACHABLE: _Message("The API server of {where} can't be reached", _NETWORK),
    Kind.DNS: _Message("The name of the API server of {where} is not known here", _NETWORK),
    Kind.TIMEOUT: _Message("kubectl got no answer from {where} in time", _NETWORK),
    Kind.APP_ERROR: _Message("The tunnel works, but no Jupyter Server answers in the pod"),
    Kind.PORT_TAKEN: _Message("kubectl could not listen on this machine"),
    Kind.TLS: _Message(
        "The certificate of the API server of {where} can't be trusted",
        _NEW_KUBECONFIG,
        ConfigError,
    ),
    Kind.NOT_FOUND: _Message(
        "The target does not exist in {where}",
        "See what is there: {kubectl} get services,pods — then: jrc login --target KIND/NAME",
        NotFoundError,
    ),
    Kind.BAD_PORT: _Message("{subject}", "Name another port: jrc login --port PORT", ConfigError),
    Kind.BAD_TARGET: _Message(
        "{subject}", "Name another target: jrc login --target KIND/NAME", ConfigError
    ),
    Kind.BAD_SELECTOR: _Message(
        "The cluster does not understand the label selector",
        "Name another target: jrc login --target app=NAME",
        ConfigError,
    ),
    Kind.BAD_CONTEXT: _Message(
        "kubectl has no usable {where}",
        "See the contexts with: kubectl config get-contexts",
        ConfigError,
    ),
    Kind.BAD_KUBECONFIG: _Message(
        "kubectl can't read its configuration", "Check it with: kubectl config view", ConfigError
    ),
    Kind.NO_KUBECONFIG: _Message(
        "kubectl is not configured on this machine",
        "Get the cluster's kubeconfig (for EKS: aws eks update-kubeconfig --name NAME).",
        ConfigError,
    ),
    Kind.NO_KUBECTL: _Message(
        "There is no program {subject} on this machine",
        "Install kubectl, or set JRC_KUBECTL to where it is.",
        ConfigError,
    ),
    Kind.NO_CREDENTIALS: _Message(
        "The kubeconfig holds no credentials for {where}", _NEW_KUBECONFIG, AuthError
    ),
    Kind.UNAUTHORIZED: _Message(
        "The cluster does not accept your credentials for {where}",
        f"Log in to the cluster again, {_AGAIN}",
        AuthError,
    ),
    Kind.FORBIDDEN: _Message(
        "You are not allowed to do that in {where}",
        "Ask for the role in docs/tunnel.md, which lists the few rights that a tunnel needs.",
        AuthError,
    ),
    Kind.EXEC_FAILED: _Message(
        "The server in the pod could not be asked for its token",
        "Take it from a Secret with --token-from secret/NAME:KEY, or type it in.",
        NotFoundError,
    ),
    Kind.PLUGIN_FAILED: _Message(
        "The login program {subject} failed for {where}", f"{{login}}, {_AGAIN}", AuthError
    ),
    Kind.PLUGIN_MISSING: _Message(
        "kubectl can't find the login program {subject} that {where} needs",
        f"Install it, {_AGAIN}",
        ConfigError,
    ),
}

_LOGINS = {
    "aws": "Type: aws sso login",
    "aws-iam-authenticator": "Type: aws sso login",
    "gke-gcloud-auth-plugin": "Type: gcloud auth login",
    "kubelogin": "Type: az login",
}


def explain(
    kind: Kind,
    where: str,
    *,
    subject: str = "",
    quote: str = "",
    kubectl: str = "kubectl",
    about: str = "",
) -> Cause:
    """A cause with its message and hint.

    Args:
        kind: what went wrong.
        where: context and namespace.
        subject: fills {subject}: a program, or a sentence without its full stop.
        quote: what kubectl or a login program said itself.
        kubectl: the beginning of a command to type, with context and namespace.
        about: fills {about}: arguments of a command, quoted for the shell: ``pod/NAME``.
    """
    message = _MESSAGES[kind]
    login = _LOGINS.get(subject.rsplit("/", 1)[-1], "Log in to the cluster again")
    names = {"where": where, "subject": subject.rstrip("."), "login": login}
    names |= {"kubectl": kubectl, "about": about or "pods"}
    quoted = f" ({quote.rstrip('.')})" if quote else ""
    return Cause(kind, f"{message.text.format(**names)}{quoted}.", message.hint.format(**names))


def completed(hint: str, profile: str, route: Route) -> str:
    """A hint with a login that works as it is printed, whether the profile is saved or not.

    Args:
        hint: it may hold ``jrc login --port …`` and the like, without what does not change.
        profile: the name of the tunnel's profile.
        route: its way.
    """
    words = ["--profile", profile] if profile else []
    words += ["--context", route.context, "--namespace", route.namespace]
    if "--target" not in hint:
        words += ["--target", route.target]
        # Another target has other ports.
        words += [] if "--port" in hint else ["--port", str(route.port)]
    return hint.replace("jrc login", f"jrc login {shlex.join(words)}")
