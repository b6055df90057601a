"""Why a tunnel is down: the kinds of causes, which of them end it, and how each is told."""

from dataclasses import dataclass
from enum import StrEnum

from jrc.errors import AuthError, ConfigError, JrcError, NotFoundError, UnreachableError


class Kind(StrEnum):
    """What went wrong. The value stands in the state file and in ``--json``."""

    LOST = "lost"
    NOT_LISTENING = "not-listening"
    RESET = "reset"
    POD_GONE = "pod-gone"
    STALLED = "stalled"
    NO_POD = "no-pod"
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
        hint: what to do about it; empty when it cures itself.
    """

    kind: Kind
    message: str
    hint: str = ""

    @property
    def fatal(self) -> bool:
        """Trying again does not cure it, unless the same worked a moment ago; see ``machine``."""
        return _TOLD[self.kind].error is not None

    def error(self) -> JrcError:
        """The cause as the error that a command ends with."""
        return (_TOLD[self.kind].error or UnreachableError)(self.message, hint=self.hint or None)


class CauseError(UnreachableError):
    """Carries a cause inside the room; it never leaves it."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


@dataclass(frozen=True)
class _Told:
    """How a kind is told. Texts may name {where}, {subject} and {login}.

    Attributes:
        error: what a fatal cause becomes; None for one that may pass.
    """

    text: str
    hint: str = ""
    error: type[JrcError] | None = None


_NETWORK = "Check the network and the VPN; jrc goes on trying while the tunnel is wanted."
_NEW_KUBECONFIG = "Fetch a new kubeconfig from whoever runs the cluster."
_AGAIN = "then type: jrc connect"

_TOLD = {
    Kind.LOST: _Told("kubectl lost the connection to the pod"),
    Kind.NOT_LISTENING: _Told(
        "Nothing listens on the pod's port yet",
        "If it stays so, check the port: log in again with --port.",
    ),
    Kind.RESET: _Told("The server in the pod reset a connection"),
    Kind.POD_GONE: _Told("The pod is gone"),
    Kind.STALLED: _Told("The connection to the pod is open but nothing passes"),
    Kind.NO_POD: _Told("{subject}", "jrc goes on when a pod of the target is ready."),
    Kind.POD_NOT_RUNNING: _Told("The pod is not running"),
    Kind.KUBELET: _Told("The cluster can't reach the pod's node"),
    Kind.API_UNREACHABLE: _Told("The API server of {where} can't be reached", _NETWORK),
    Kind.DNS: _Told("The name of the API server of {where} is not known here", _NETWORK),
    Kind.TIMEOUT: _Told("kubectl got no answer from {where} in time", _NETWORK),
    Kind.APP_ERROR: _Told("The tunnel works, but no Jupyter Server answers in the pod"),
    Kind.PORT_TAKEN: _Told("kubectl could not listen on this machine"),
    Kind.TLS: _Told(
        "The certificate of the API server of {where} can't be trusted",
        _NEW_KUBECONFIG,
        ConfigError,
    ),
    Kind.NOT_FOUND: _Told(
        "The target does not exist in {where}",
        "See what is there with: kubectl get services,pods; then log in again with --target.",
        NotFoundError,
    ),
    Kind.BAD_PORT: _Told("{subject}", "Log in again with --port.", ConfigError),
    Kind.BAD_TARGET: _Told("{subject}", "Log in again with --target.", ConfigError),
    Kind.BAD_CONTEXT: _Told(
        "kubectl has no usable {where}",
        "See the contexts with: kubectl config get-contexts",
        ConfigError,
    ),
    Kind.BAD_KUBECONFIG: _Told(
        "kubectl can't read its configuration", "Check it with: kubectl config view", ConfigError
    ),
    Kind.NO_KUBECONFIG: _Told(
        "kubectl is not configured on this machine",
        "Fetch the cluster's kubeconfig (for EKS: aws eks update-kubeconfig --name NAME).",
        ConfigError,
    ),
    Kind.NO_KUBECTL: _Told(
        "There is no program {subject} on this machine",
        "Install kubectl, or set JRC_KUBECTL to where it is.",
        ConfigError,
    ),
    Kind.NO_CREDENTIALS: _Told(
        "The kubeconfig holds no credentials for {where}", _NEW_KUBECONFIG, AuthError
    ),
    Kind.UNAUTHORIZED: _Told(
        "The cluster does not accept your credentials for {where}",
        f"Log in to the cluster again, {_AGAIN}",
        AuthError,
    ),
    Kind.FORBIDDEN: _Told(
        "You are not allowed to do that in {where}",
        "Ask for the role in docs/tunnel.md, which lists the few rights that a tunnel needs.",
        AuthError,
    ),
    Kind.EXEC_FAILED: _Told(
        "The server in the pod could not be asked for its token",
        "Take it from a Secret with --token-from secret/NAME:KEY, or type it in.",
        NotFoundError,
    ),
    Kind.PLUGIN_FAILED: _Told(
        "The login program {subject} failed for {where}", f"{{login}}, {_AGAIN}", AuthError
    ),
    Kind.PLUGIN_MISSING: _Told(
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


def explain(kind: Kind, where: str, *, subject: str = "", quote: str = "") -> Cause:
    """A cause in words.

    Args:
        kind: what went wrong.
        where: context and namespace.
        subject: the program, or the sentence without its full stop, that the kind asks for.
        quote: what kubectl or a login program said itself.
    """
    told = _TOLD[kind]
    login = _LOGINS.get(subject.rsplit("/", 1)[-1], "Log in to the cluster again")
    names = {"where": where, "subject": subject.rstrip("."), "login": login}
    quoted = f" ({quote.rstrip('.')})" if quote else ""
    return Cause(kind, f"{told.text.format(**names)}{quoted}.", told.hint.format(**names))
