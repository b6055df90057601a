"""What kubectl's output means. Pure: text in, a ``Cause`` out.

The wording differs between kubectl's versions and the cluster's container runtimes, so the texts
are matched loosely; the order of the rules decides where two of them match.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from jrc.tunnel.cause import Cause, Kind, explain


class Alarm(StrEnum):
    """What to do about a line on the stderr of a running port-forward."""

    LOST = "lost"
    """The forward is dead, even where kubectl runs on."""
    DOUBT = "doubt"
    """One connection failed; only a probe tells whether the forward lives."""


# E1122 19:31:05.123456    4242 portforward.go:424] an error occurred …
_KLOG = re.compile(r"^[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ (?P<file>[\w.-]+):\d+\] ")
_INFO = re.compile(r"^I\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ ")
# … "Unhandled Error" err="an error occurred …", as kubectl ≥ 1.31 wraps it
_WRAPPED = re.compile(r'^"[^"]*" err="(?P<text>.*)"$')
_NOISE = re.compile(r"memcache\.go|request\.go|couldn't get current server API group list")
# … couldn't get current server API group list: Get "https://…": dial tcp …: i/o timeout
_ASKED = re.compile(r"^couldn't get current server API group list: (Get \"[^\"]*\": )?")
_UNREACHED = re.compile(
    r"couldn't get current server API group list: .*"
    r"(dial tcp|no such host|handshake timeout|deadline exceeded|Client\.Timeout|i/o timeout)"
)
_OWN_LINE = re.compile(
    r"^(error|Unable to|The connection to|Warning:|Flag --|Unhandled Error)", re.I
)
_ERROR = re.compile(r"^(error|Unable to|The connection to)", re.IGNORECASE)

_RULES: tuple[tuple[Kind, str], ...] = (
    (Kind.PLUGIN_MISSING, r"exec: executable (?P<subject>\S+) not found"),
    (Kind.PLUGIN_MISSING, r'exec: "(?P<subject>[^"]+)": executable file not found'),
    (Kind.PLUGIN_MISSING, r"exec plugin: .*no such file or directory"),
    (Kind.PLUGIN_FAILED, r"exec: executable (?P<subject>\S+) failed with exit code"),
    (Kind.PLUGIN_FAILED, r"getting credentials: (exec|decoding)|exec plugin"),
    # It asks for a user name and finds stdin closed.
    (Kind.NO_CREDENTIALS, r"Please enter Username|^error: EOF$"),
    (Kind.EXEC_FAILED, r"command terminated with|OCI runtime exec failed|container not found"),
    (Kind.BAD_SELECTOR, r"unable to parse requirement|\(BadRequest\).*label selector"),
    (Kind.BAD_CONTEXT, r"context was not found|context \"[^\"]*\" does not exist"),
    (Kind.BAD_CONTEXT, r"(cluster|auth info|user) \"[^\"]*\" does not exist"),
    (Kind.BAD_KUBECONFIG, r"error loading config file|invalid configuration"),
    (Kind.BAD_KUBECONFIG, r"Error in configuration"),
    (Kind.NO_KUBECONFIG, r"no configuration has been provided|server localhost:8080 was refused"),
    (Kind.NO_KUBECONFIG, r"stat \S*: no such file|open \S*kube\S*: no such file"),
    (Kind.UNAUTHORIZED, r"must be logged in|Unauthorized|asked for the client to provide cred"),
    (Kind.FORBIDDEN, r"\(Forbidden\)|is forbidden|cannot \w+ resource|: Forbidden"),
    (Kind.NOT_FOUND, r"\(NotFound\): (?P<subject>.+ not found)"),
    (Kind.POD_NOT_RUNNING, r"pod is not running"),
    (Kind.PORT_TAKEN, r"unable to listen on|address already in use"),
    (Kind.TLS, r"x509:|tls: failed to verify|certificate (signed|has expired|is valid for)"),
    (Kind.TLS, r"server gave HTTP response to HTTPS client|first record does not look like a TLS"),
    (Kind.DNS, r"no such host|server misbehaving|name resolution|lookup \S+: "),
    (Kind.KUBELET, r"error dialing backend|timeout expired waiting for volumes|10250"),
    (Kind.NOT_LISTENING, r"error (occurred )?forwarding.*(connection refused|exit status 1)"),
    (Kind.RESET, r"error (occurred )?forwarding.*(reset by peer|broken pipe)"),
    (Kind.POD_GONE, r"error (occurred )?forwarding"),
    (Kind.STALLED, r"error creating (error|forwarding) stream"),
    (Kind.API_UNREACHABLE, r"(connection|server \S+) was refused|connection refused|i/o timeout"),
    (Kind.API_UNREACHABLE, r"unreachable|no route to host|handshake timeout|connection reset"),
    (Kind.API_UNREACHABLE, r"Unable to connect to the server|context deadline exceeded"),
    (Kind.API_UNREACHABLE, r"ServiceUnavailable|InternalError|TooManyRequests|Timeout|: EOF$"),
    (Kind.LOST, r"lost connection to pod"),
)
_SAYS_NO_MORE = frozenset({Kind.LOST, Kind.POD_GONE, Kind.NOT_LISTENING, Kind.RESET})
"""Kinds for which kubectl's line adds ids that mean nothing to a person."""

_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _RULES)


def plain_lines(lines: Sequence[str]) -> list[str]:
    """kubectl's lines without its logger's prefix, the retry noise and repetitions."""
    kept: list[str] = []
    for line in lines:
        if _NOISE.search(line):
            continue
        text = plain(line)
        if text and text not in kept:
            kept.append(text)
    return kept


def plain(line: str) -> str:
    """One line without its logger's prefix and wrapping."""
    text = _KLOG.sub("", line.strip())
    if wrapped := _WRAPPED.match(text):
        text = wrapped["text"].replace(r"\"", '"')
    return _ASKED.sub("", text)


def is_hopeless(line: str) -> bool:
    """Whether kubectl can't reach the API server, and will only try the same again."""
    return _UNREACHED.search(line) is not None


def error_line(lines: Sequence[str]) -> str:
    """The most useful line for a person: the last one that looks like an error, else the last."""
    plain = plain_lines(lines)
    errors = [line for line in plain if _ERROR.match(line)]
    return (errors or plain or [""])[-1]


def classify(lines: Sequence[str], *, where: str, kubectl: str = "kubectl") -> Cause:
    """Why a kubectl ended, or why it can be taken for dead.

    The exit code does not matter: kubectl 1.20 ends with 0 when it loses the API.

    Args:
        lines: what it wrote to stderr.
        where: context and namespace, for people.
        kubectl: the beginning of a command to type.
    """
    text = plain_lines(lines)
    for kind, pattern in _COMPILED:
        for line in reversed(text):
            if found := pattern.search(line):
                subject = found.groupdict().get("subject") or ""
                quote = _quote(kind, text)
                return explain(kind, where, subject=subject, quote=quote, kubectl=kubectl)
    return explain(Kind.LOST, where, quote=_quote(Kind.LOST, text), kubectl=kubectl)


def alarm(line: str) -> Alarm | None:
    """What to do about one line of a running port-forward; None for nothing."""
    if re.search(r"lost connection to pod", line):
        return Alarm.LOST
    if re.search(r"error occurred forwarding|error creating (error|forwarding) stream", line):
        return Alarm.DOUBT
    return None


def _quote(kind: Kind, lines: Sequence[str]) -> str:
    """The part of kubectl's output that explains the cause best."""
    if kind in _SAYS_NO_MORE and any("forwarding" in line or "lost" in line for line in lines):
        return ""
    if kind in (Kind.PLUGIN_FAILED, Kind.EXEC_FAILED):
        # What the program printed says more than kubectl's message that it failed.
        kubectls = ("getting credentials", "command terminated")
        printed = [line for line in lines if not any(text in line for text in kubectls)]
        if printed:
            return "; ".join(printed[-3:])[:300]
    return error_line(lines)


def is_noise(line: str) -> bool:
    """Whether a line is kubectl's own, and not a message of a login program."""
    return bool(_NOISE.search(line) or _KLOG.match(line) or _OWN_LINE.match(line.strip()))


def is_request(line: str) -> bool:
    """Whether kubectl logs what it asks the API server, as ``-v=6`` makes it do."""
    return _INFO.match(line) is not None
