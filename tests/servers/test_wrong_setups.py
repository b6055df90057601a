"""Set-ups that are wrong, each tried: the exit code, the message, and its entry in the docs."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.certificates import make_certificate
from tests.support.command import run_jrc
from tests.support.servers import Servers, free_port
from tests.support.web import Reply, Web

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

HTML = "text/html"


@dataclass
class Tried:
    """A command line and what belongs to it.

    Attributes:
        words: behind ``jrc``.
        input: on stdin.
        env: more variables.
    """

    words: list[str]
    input: str = ""
    env: dict[str, str] = field(default_factory=dict)


def login(url: str, *words: str, secret: str = "", **env: str) -> Tried:
    way = ["--token-stdin"] if secret else []
    return Tried(["login", url, "-P", "it", *way, *words], secret, env)


def wrong_token(kind: str) -> Callable[[Servers, Path], Tried]:
    return lambda servers, _: login(servers.get(kind).url, secret="wr0ng")


def password_refused(servers: Servers, _: Path) -> Tried:
    url = servers.get("password").url
    return Tried(["login", url, "--password-stdin"], "wr0ng")


def prefix_missing(servers: Servers, _: Path) -> Tried:
    return login(servers.get("password").url.replace("/a/team/", "/"), secret="t")


def plain_to_tls(servers: Servers, _: Path) -> Tried:
    return login(servers.get("proxied").url.replace("https:", "http:"), secret="t")


def tls_to_plain(servers: Servers, _: Path) -> Tried:
    return login(servers.get("server").url.replace("http:", "https:"), secret="t")


def unknown_ca(servers: Servers, _: Path) -> Tried:
    return login(servers.get("proxied").url, secret="t")


def no_client_certificate(servers: Servers, _: Path) -> Tried:
    proxied = servers.get("proxied")
    return login(proxied.url, "--ca-file", str(proxied.ca_file), secret="t")


def no_certificate_in_the_ca_file(servers: Servers, folder: Path) -> Tried:
    (folder / "ca.pem").write_text("hello")
    return login(servers.get("proxied").url, "--ca-file", str(folder / "ca.pem"), secret="t")


def nothing_listens(_: Servers, __: Path) -> Tried:
    return login(f"http://127.0.0.1:{free_port()}/", secret="t")


def unknown_host(_: Servers, __: Path) -> Tried:
    return login("https://no-such-host.invalid/", secret="t")


def dead_proxy(_: Servers, __: Path) -> Tried:
    return login("https://h.example/", secret="t", HTTPS_PROXY="socks5://127.0.0.1:1")


def header_without_a_source(servers: Servers, _: Path) -> Tried:
    return login(servers.get("server").url, "--header", "X-A=s3cret", secret="t")


def header_without_a_variable(servers: Servers, _: Path) -> Tried:
    return login(servers.get("server").url, "--header", "X-A=env:NO_SUCH_NAME", secret="t")


def command(code: str) -> Callable[[Servers, Path], Tried]:
    def make(servers: Servers, folder: Path) -> Tried:
        path = folder / "give.py"
        path.write_text(code)
        words = ("--credential-command", f"{sys.executable} {path}")
        return login(servers.get("server").url, *words, secret="t")

    return make


def no_command(servers: Servers, _: Path) -> Tried:
    return login(servers.get("server").url, "--credential-command", "no-such-program", secret="t")


def no_password_form(servers: Servers, _: Path) -> Tried:
    """A token for the hub, where it should be a password: the form of another authenticator."""
    url = servers.get("hub").url
    return Tried(["login", url, "--user", "ada", "--password-stdin"], "wr0ng")


def variables_for_a_server(servers: Servers, folder: Path) -> Tried:
    (folder / "a.py").write_text("1\n")
    url = servers.get("open").url
    words = ["run", "--kernel-env", "KERNEL_X=y", str(folder / "a.py")]
    return Tried(words, env={"JRC_URL": url, "JRC_TOKEN": "t"})


def user_of_an_enterprise_gateway(servers: Servers, folder: Path) -> Tried:
    (folder / "a.py").write_text("1\n")
    gateway = servers.get("enterprise-gateway")
    done = run_jrc("login", gateway.url, "-P", "it", "--token-stdin", input=gateway.token)
    assert done.code == 0, done.stderr
    # It starts kernels for nobody who is called root.
    return Tried(["run", "--kernel-env", "KERNEL_USERNAME=root", str(folder / "a.py")])


def unknown_kernel(servers: Servers, folder: Path) -> Tried:
    gateway = servers.get("kernel-gateway")
    done = run_jrc("login", gateway.url, "-P", "it", "--token-stdin", input=gateway.token)
    assert done.code == 0, done.stderr
    return Tried(["kernel", "start", "no-such-kernel"])


TABLE: list[tuple[str, Callable[[Servers, Path], Tried], int, str]] = [
    ("server", wrong_token("server"), 4, "refused the token"),
    ("password", password_refused, 4, "refused the password"),
    ("hub", wrong_token("hub"), 4, "The hub at … refused the token"),
    ("hub", no_password_form, 4, "The hub at … refused the user name or the password"),
    ("kernel-gateway", wrong_token("kernel-gateway"), 4, "refused the token"),
    (
        "enterprise-gateway",
        user_of_an_enterprise_gateway,
        4,
        "does not let this user start the kernel",
    ),
    ("kernel-gateway", unknown_kernel, 5, "The server has no kernel"),
    ("password", prefix_missing, 6, "The Jupyter Server of … is not at … but at"),
    ("proxied", plain_to_tls, 6, "speaks TLS, and was asked in plain HTTP"),
    ("server", tls_to_plain, 6, "does not speak TLS"),
    ("proxied", unknown_ca, 6, "is signed by a CA that this machine does not trust"),
    ("proxied", no_client_certificate, 6, "asks for a client certificate"),
    ("proxied", no_certificate_in_the_ca_file, 3, "holds no certificate"),
    ("server", nothing_listens, 6, "Nothing listens at … (connection refused)"),
    ("server", unknown_host, 6, "is not known"),
    ("server", dead_proxy, 3, "The environment names a SOCKS proxy"),
    ("server", header_without_a_source, 2, "does not say where … comes from"),
    ("server", header_without_a_variable, 3, "has no value: the variable … is not set"),
    ("server", no_command, 3, "The credential command … can't be started"),
    ("server", command("import sys; sys.exit(3)"), 4, "The credential command … failed (exit code"),
    ("server", command("print('hello')"), 3, "The credential command … prints no JSON object"),
    ("open", variables_for_a_server, 2, "--kernel-env is for gateways"),
]

ANSWERS: list[tuple[Reply, int, str]] = [
    (
        Reply(302, headers={"Location": "https://sso.example.org/login?state=s3cret"}),
        6,
        "redirects to …, probably a login page in front of it",
    ),
    (Reply(401, b'{"message": "no"}'), 6, "wants a login before it says what it is (HTTP 401)"),
    (
        Reply(401, headers={"WWW-Authenticate": "Basic"}),
        6,
        "A proxy in front of … asks for a login of its own",
    ),
    (Reply(403, b"<html>", HTML), 6, "A proxy in front of … does not let us through"),
    (Reply(503, b"<html>", HTML), 6, "A proxy answers for …, but the server behind it does not"),
    (Reply(200, b"<html>Hello", HTML), 6, "answers a web page, but not as a Jupyter Server does"),
]


def check(tried: Tried, code: int, message: str) -> None:
    env = {"NO_PROXY": "", **tried.env}
    done = run_jrc(*tried.words, input=tried.input, env=env)
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
    words = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(words, done.stderr), done.stderr
    if code != 2:
        assert "hint: " in done.stderr or message.startswith("The credential command")
    assert message in " ".join(PAGE.read_text().split()), "docs/troubleshooting.md"


@pytest.mark.parametrize(
    ("kind", "make", "code", "message"), TABLE, ids=[f"{row[0]}: {row[3]}" for row in TABLE]
)
def test_wrong_set_up(
    servers: Servers,
    tmp_path: Path,
    kind: str,
    make: Callable[[Servers, Path], Tried],
    code: int,
    message: str,
) -> None:
    check(make(servers, tmp_path), code, message)


@pytest.mark.parametrize(("reply", "code", "message"), ANSWERS, ids=[row[2] for row in ANSWERS])
def test_wrong_answer(reply: Reply, code: int, message: str) -> None:
    with Web({"/api": reply}) as web:
        check(login(web.url, secret="t"), code, message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "jupyter.example.org"}, "is for another name"),
        ({"expired": True}, "is not valid now"),
        ({"self_signed": True}, "is self-signed, so it proves nothing"),
    ],
)
def test_wrong_certificate(tmp_path: Path, options: dict[str, object], message: str) -> None:
    certificate = make_certificate(tmp_path, **options)  # type: ignore[arg-type]
    words = [] if "self_signed" in options else ["--ca-file", str(certificate.ca)]
    with Web({"/api": Reply()}, tls=certificate.context()) as web:
        check(login(web.url, *words, secret="t"), 6, message)
