"""kubectl's words: every cause is told, whatever the version that says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import AuthError, ConfigError, NotFoundError, UnreachableError
from jrc.tunnel.cause import Kind, explain
from jrc.tunnel.classify import (
    Alarm,
    alarm,
    classify,
    error_line,
    is_hopeless,
    is_noise,
    plain,
    plain_lines,
)

WHERE = "context 'prod', namespace 'team'"
LOG = "E1122 19:31:05.123456    4242 portforward.go:424] "
OLD_NOISE = (
    "E1122 19:46:53.027814   11741 memcache.go:265] couldn't get current server API group list: "
    'Get "https://127.0.0.1:1/api?timeout=15s": dial tcp 127.0.0.1:1: connect: connection refused'
)
NEW_NOISE = (
    'E1122 19:47:00.803454   12016 memcache.go:265] "Unhandled Error" err="couldn\'t get current '
    'server API group list: Get \\"https://127.0.0.1:1/api\\": x509: not what it looks like"'
)
REFUSED = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host?"
NO_LISTENER = (
    "an error occurred forwarding 40123 -> 8888: error forwarding port 8888 to pod 5a1, uid : "
    "failed to connect to localhost:8888 inside namespace: connect: connection refused"
)
PLUGIN = "Unable to connect to the server: getting credentials: exec: executable "

CASES: list[tuple[str, Kind]] = [
    ('error: context "nope" does not exist', Kind.BAD_CONTEXT),
    (
        "Error in configuration: context was not found for specified context: nope",
        Kind.BAD_CONTEXT,
    ),
    ('error: error loading config file "/home/a/.kube/config": yaml: bad', Kind.BAD_KUBECONFIG),
    (
        "The connection to the server localhost:8080 was refused - did you specify the right host?",
        Kind.NO_KUBECONFIG,
    ),
    ('Error from server (NotFound): services "x" not found', Kind.NOT_FOUND),
    ('Error from server (NotFound): namespaces "x" not found', Kind.NOT_FOUND),
    ('Error from server (NotFound): deployments.apps "x" not found', Kind.NOT_FOUND),
    (
        'Error from server (Forbidden): services "x" is forbidden: User "jane" cannot get resource',
        Kind.FORBIDDEN,
    ),
    (
        'error: error upgrading connection: pods "x" is forbidden: User "jane" cannot create '
        'resource "pods/portforward" in API group "" in the namespace "team"',
        Kind.FORBIDDEN,
    ),
    ("error: You must be logged in to the server (Unauthorized)", Kind.UNAUTHORIZED),
    (
        "error: You must be logged in to the server (the server has asked for the client to "
        "provide credentials)",
        Kind.UNAUTHORIZED,
    ),
    ("error: EOF", Kind.NO_CREDENTIALS),
    (f"{PLUGIN}aws failed with exit code 255", Kind.PLUGIN_FAILED),
    (f"{PLUGIN}aws not found", Kind.PLUGIN_MISSING),
    ("Unable to connect to the server: x509: certificate signed by unknown authority", Kind.TLS),
    (
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has "
        "expired or is not yet valid",
        Kind.TLS,
    ),
    (
        "Unable to connect to the server: dial tcp: lookup x.example on 10.0.0.2:53: no such host",
        Kind.DNS,
    ),
    (REFUSED, Kind.API_UNREACHABLE),
    ("Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout", Kind.API_UNREACHABLE),
    ("Unable to connect to the server: net/http: TLS handshake timeout", Kind.API_UNREACHABLE),
    (
        "error: error upgrading connection: error dialing backend: dial tcp 10.0.0.5:10250: "
        "connect: no route to host",
        Kind.KUBELET,
    ),
    (
        "error: unable to forward port because pod is not running. Current status=Pending",
        Kind.POD_NOT_RUNNING,
    ),
    (
        "Unable to listen on port 1: Listeners failed to create with the following errors: [unable "
        "to create listener]\nerror: unable to listen on any of the requested ports: [{1 8888}]",
        Kind.PORT_TAKEN,
    ),
    (f"{LOG}{NO_LISTENER}\nerror: lost connection to pod", Kind.NOT_LISTENING),
    (
        f'{LOG}"Unhandled Error" err="{NO_LISTENER}"\nerror: lost connection to pod',
        Kind.NOT_LISTENING,
    ),
    (
        f"{LOG}an error occurred forwarding 4 -> 8888: error forwarding port 8888 to pod 5a1: read "
        "tcp4 127.0.0.1:5->127.0.0.1:8888: read: connection reset by peer",
        Kind.RESET,
    ),
    (
        f"{LOG}an error occurred forwarding 4 -> 8888: error forwarding port 8888 to pod 5a1: "
        'failed to find sandbox "5a1" in store: not found',
        Kind.POD_GONE,
    ),
    (f"{LOG}lost connection to pod", Kind.LOST),
    ("error: lost connection to pod", Kind.LOST),
    (
        f"{LOG}error creating error stream for port 4 -> 8888: Timeout occurred",
        Kind.STALLED,
    ),
    ("sh: jupyter: not found\ncommand terminated with exit code 127", Kind.EXEC_FAILED),
    ("", Kind.LOST),
    ("something that no version says", Kind.LOST),
]


@pytest.mark.parametrize(("text", "kind"), CASES)
def test_each_text_has_its_cause(text: str, kind: Kind) -> None:
    assert classify(text.splitlines(), where=WHERE).kind is kind


@pytest.mark.parametrize("noise", [OLD_NOISE, NEW_NOISE])
def test_retry_noise_says_nothing(noise: str) -> None:
    """The four memcache lines neither decide the cause nor reach a person."""
    cause = classify([noise] * 4 + [REFUSED], where=WHERE)
    assert cause.kind is Kind.API_UNREACHABLE
    assert "memcache" not in cause.message
    assert REFUSED in cause.message


def test_login_program_is_named_with_its_own_words() -> None:
    said = "Error loading SSO Token: Token for work does not exist"
    lines = [said] * 5 + [f"{PLUGIN}aws failed with exit code 255"]
    cause = classify(lines, where=WHERE)
    assert cause.message == f"The login program aws failed for {WHERE} ({said})."
    assert cause.hint == "Type: aws sso login, then try again."
    assert isinstance(cause.error(), AuthError)


def test_unknown_login_program_still_gets_a_hint() -> None:
    cause = classify([f"{PLUGIN}/opt/corp/login failed with exit code 1"], where=WHERE)
    assert "/opt/corp/login" in cause.message
    assert cause.hint.startswith("Log in to the cluster again")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.FORBIDDEN, AuthError),
        (Kind.NOT_FOUND, NotFoundError),
        (Kind.NO_KUBECTL, ConfigError),
        (Kind.LOST, UnreachableError),
    ],
)
def test_causes_become_errors_of_their_class(kind: Kind, error: type[Exception]) -> None:
    cause = explain(kind, WHERE, subject="x")
    assert type(cause.error()) is error
    assert cause.fatal == (error is not UnreachableError)


def test_every_kind_can_be_told() -> None:
    """No kind is without words, and no placeholder is left in them."""
    for kind in Kind:
        cause = explain(kind, WHERE, subject="x")
        assert cause.message.endswith(".")
        assert "{" not in cause.message + cause.hint


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("error: lost connection to pod", Alarm.LOST),
        (f"{LOG}lost connection to pod", Alarm.LOST),
        (f"{LOG}{NO_LISTENER}", Alarm.DOUBT),
        (f'{LOG}"Unhandled Error" err="error creating error stream for port 1"', Alarm.DOUBT),
        ("Handling connection for 40123", None),
        ("To sign in, open https://login.example in a browser", None),
    ],
)
def test_lines_of_a_running_forward(line: str, expected: Alarm | None) -> None:
    assert alarm(line) is expected


@given(st.lists(st.text(max_size=200), max_size=12))
def test_any_text_gives_a_cause(lines: list[str]) -> None:
    """Whatever a version prints, there is a sentence and no crash."""
    cause = classify(lines, where=WHERE)
    assert cause.message.endswith(".")


@given(st.lists(st.sampled_from([case for case, _ in CASES] + [OLD_NOISE, NEW_NOISE, " "])))
def test_the_error_line_comes_from_the_lines(lines: list[str]) -> None:
    words = error_line(lines)
    assert (words == "") == (plain_lines(lines) == [])
    assert not words or any(words in line for line in plain_lines(lines))


@pytest.mark.parametrize(
    "line",
    [
        'Error from server (NotFound): services "x" not found',
        "error: You must be logged in to the server (Unauthorized)",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host?",
        "Warning: v1 Endpoints is deprecated in v1.33+",
        "E1122 19:31:05.123456    4242 portforward.go:424] an error occurred",
    ],
)
def test_kubectl_is_no_login_program(line: str) -> None:
    assert is_noise(line)


@pytest.mark.parametrize(
    "line",
    [
        "To sign in, use a web browser to open the page https://login.example.org/device",
        "Attempting to automatically open the SSO authorization page in your default browser.",
    ],
)
def test_a_login_program_is_heard(line: str) -> None:
    assert not is_noise(line)


ASKED = 'couldn\'t get current server API group list: Get "https://h:6443/api?timeout=10s": '


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{ASKED}dial tcp 10.0.0.1:6443: i/o timeout", Kind.API_UNREACHABLE),
        (f"{ASKED}net/http: TLS handshake timeout", Kind.API_UNREACHABLE),
        (f"{ASKED}dial tcp: lookup h on 10.0.0.2:53: no such host", Kind.DNS),
        (f'"Unhandled Error" err="{ASKED}dial tcp 1.2.3.4:1: connect: refused"', None),
    ],
)
def test_the_first_vain_try_of_kubectl_is_enough(line: str, kind: Kind | None) -> None:
    """It tries five times; where packets are dropped, that takes five times as long."""
    logged = f"E1128 01:00:17.634899   14258 memcache.go:265] {line}"
    assert is_hopeless(logged)
    if kind:
        cause = classify([plain(logged)], where=WHERE)
        assert cause.kind is kind
        assert "API group list" not in cause.message


def test_what_only_some_apis_do_not_answer_is_no_reason_to_end_kubectl() -> None:
    assert not is_hopeless(
        "E1128 01:00:17.634899 1 memcache.go:287] couldn't get resource list for "
        "metrics.k8s.io/v1beta1: the server is currently unable to handle the request"
    )
