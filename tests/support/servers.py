"""Every kind of server that jrc works with: real ones, in processes with folders of their own."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.support import node
from tests.support.certificates import Authority
from tests.support.command import Result, jrc_command
from tests.support.jupyter import (
    JupyterServer,
    launch_jupyter,
    server_environment,
    shown_on_failure,
    wait_until,
)

PERSONS_ENVIRONMENT = dict(os.environ)
"""As it was before the tests changed it: an installer needs the person's proxy, CAs and cache."""

START_SECONDS = 90
STOP_SECONDS = 20

REQUIREMENTS = {
    "hub": ("jupyterhub>=5", "jupyter_server>=2.14", "ipykernel>=6.29"),
    "kernel-gateway": ("jupyter_kernel_gateway>=3", "ipykernel>=6.29"),
    # It pins jupyter_client < 7; it imports distutils, which Python dropped in 3.12.
    "enterprise-gateway": ("jupyter_enterprise_gateway>=3,<4", "ipykernel<7", "setuptools<81"),
    "server-1": ("jupyter_server<2", "ipykernel>=6.29"),
}
"""What each virtual environment holds; they exclude each other, and the tests' own packages."""

HOW_TO_GET = {"nginx": "apt-get install nginx-light (or nginx)"}


@dataclass
class Served:
    """One server, as a person meets it.

    Attributes:
        kind: its name in the table of servers.
        url: what to type behind ``jrc login``.
        words: what to type behind the URL.
        secret: what to give on stdin; empty for nothing.
        token: what REST calls of the tests carry.
        ca_file: to check its certificate.
    """

    kind: str
    url: str
    words: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_file: Path | None = None


class Servers:
    """Starts each kind once in a test session, when it is first needed.

    Args:
        folder: where they keep everything.
        stack: stops them at the end.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._served: dict[str, Served] = {}
        self._homes: dict[str, Path] = {}
        self._failed: dict[str, BaseException] = {}

    def get(self, kind: str) -> Served:
        """The server of a kind."""
        if kind in self._failed:
            raise self._failed[kind]
        if kind not in self._served:
            try:
                self._served[kind] = KINDS[kind](self)
            except BaseException as error:
                # Minutes would go by if every test tried again.
                self._failed[kind] = error
                raise
        return self._served[kind]

    def home(self, kind: str) -> Path:
        """A ``JRC_HOME`` whose one profile is the server of a kind, made by a real login."""
        if kind not in self._homes:
            home = self.folder(f"login-{kind}")
            done = log_in(self.get(kind), home)
            assert done.code == 0, done.stderr
            self._homes[kind] = home
        return self._homes[kind]

    def folder(self, name: str) -> Path:
        """A new folder."""
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def jupyter(self, name: str, **options: object) -> JupyterServer:
        """A Jupyter Server of the tests' own environment, or of another one."""
        launch: Callable[..., JupyterServer] = launch_jupyter
        # A test that runs once more starts another one.
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        server = launch(folder, **options)
        return self._stack.enter_context(shown_on_failure(server))

    def environment(self, name: str) -> Path:
        """The folder with the programs of a virtual environment."""
        folder = self._folder / "venvs" / name
        if not folder.exists():
            make_environment(folder, REQUIREMENTS[name])
        return folder / ("Scripts" if os.name == "nt" else "bin")

    def start(
        self, name: str, argv: list[str], url: str, *, env: dict[str, str], cwd: Path
    ) -> JupyterServer:
        """Start a program and wait until it answers HTTP."""
        log = cwd / "server.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
            )
        server = JupyterServer(
            url=url, token="", password="", root=cwd, folder=cwd, process=process, log=log
        )
        self._stack.enter_context(shown_on_failure(server))
        wait_until(lambda: _answers(server, name), f"{name} at {url}", timeout=START_SECONDS)
        return server


def log_in(served: Served, home: Path, *words: str) -> Result:
    """``jrc login`` at a server, into a ``JRC_HOME``."""
    argv = jrc_command("login", served.url, "--profile", "it", *served.words, *words)
    done = subprocess.run(
        argv,
        input=served.secret,
        capture_output=True,
        encoding="utf-8",
        env={**jrc_variables(home), "PYTHONUTF8": "1"},
        timeout=120,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def jrc_variables(home: Path) -> dict[str, str]:
    """The environment of a person whose jrc keeps everything in a folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JRC_", "SSL_CERT_"))}
    return {
        **kept,
        "HOME": str(home),
        "JRC_HOME": str(home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }


def make_environment(folder: Path, requirements: tuple[str, ...]) -> None:
    """Make a virtual environment; uv does it in seconds, most of them from its cache."""
    python = ("--python", sys.executable)
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", *python, str(folder)])
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _run([*uv, "pip", "install", "--quiet", "--python", str(inside), *requirements])


def program(name: str) -> str:
    """The path of a program; a test that needs a missing one fails with how to get it."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/bin"])
    path = shutil.which(name, path=places)
    if path is None:
        pytest.fail(f"{name} is not installed. {HOW_TO_GET[name]}", pytrace=False)
    return path


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=600, env=PERSONS_ENVIRONMENT
    )
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stderr}"


def _answers(server: JupyterServer, name: str) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"{name} ended at its start:\n{server.log.read_text()}")
    try:
        answer = httpx.get(server.url, timeout=5, trust_env=False, verify=False)
    except httpx.HTTPError:
        return False
    # What stands in front may be there before what stands behind it.
    return answer.status_code not in (404, 502, 503)


def _server(servers: Servers) -> Served:
    server = servers.jupyter("server")
    words = ("--token-stdin",)
    return Served("server", server.url, words, server.token, server.token)


def _password_server(servers: Servers) -> Served:
    server = servers.jupyter("password", password="open sésame", base_url="/a/team/")
    return Served("password", server.url, ("--password-stdin",), "open sésame")


def _open_server(servers: Servers) -> Served:
    return Served("open", servers.jupyter("open", token="").url)


def _quiet_server(servers: Servers) -> Served:
    server = servers.jupyter("quiet", settings={"ServerApp": {"allow_tracebacks": False}})
    return Served("no-tracebacks", server.url, ("--token-stdin",), server.token, server.token)


def _old_server(servers: Servers) -> Served:
    folder, port, token = servers.folder("server-1"), free_port(), secrets.token_hex(16)
    python = servers.environment("server-1") / "python"
    url = f"http://127.0.0.1:{port}/"
    argv = [
        *(str(python), "-m", "jupyter_server", "--allow-root", "--no-browser"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.root_dir={folder}", "--ServerApp.terminals_enabled=False"),
    ]
    env = {**server_environment(folder / "home"), "JUPYTER_TOKEN": token}
    servers.start("jupyter_server 1", argv, url + "api", env=_with_path(env, python), cwd=folder)
    return Served("server-1", url, ("--token-stdin",), token, token)


def _proxied_server(servers: Servers) -> Served:
    """nginx: TLS with a CA of its own, client certificates, a prefix."""
    server = servers.jupyter("proxied", base_url="/team/jupyter/", settings=BEHIND_A_PROXY)
    authority = Authority(servers.folder("authority"))
    client = authority.client("ada")
    tls = (
        f"ssl_certificate {authority.server('127.0.0.1')};"
        f"ssl_certificate_key {authority.server('127.0.0.1')};"
        f"ssl_client_certificate {authority.file}; ssl_verify_client on;"
    )
    nginx = start_nginx(servers, "nginx", server, listen="ssl", rules=tls)
    words = ("--token-stdin", "--ca-file", str(authority.file), "--client-cert", str(client))
    return Served("proxied", nginx.url, words, server.token, server.token, authority.file)


BEHIND_A_PROXY = {"ServerApp": {"allow_remote_access": True}}


def start_nginx(
    servers: Servers, name: str, backend: JupyterServer, *, rules: str, listen: str = ""
) -> JupyterServer:
    """nginx in front of a server.

    Args:
        servers: starts and stops it.
        name: of its folder.
        backend: the server, with the same prefix.
        rules: directives of its own.
        listen: ``ssl`` or nothing.
    """
    folder, port = servers.folder(name), free_port()
    where = urlsplit(backend.url)
    write_nginx(folder, port, where.netloc, rules, listen)
    scheme = "https" if listen else "http"
    url = f"{scheme}://127.0.0.1:{port}{where.path}"
    argv = [program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "err.log"]
    return servers.start("nginx", argv, url, env=dict(os.environ), cwd=folder)


def write_nginx(folder: Path, port: int, backend: str, rules: str, listen: str = "") -> None:
    """Write its configuration; it reads it again at SIGHUP, and then cuts its connections."""
    text = NGINX.format(folder=folder, port=port, backend=backend, rules=rules, listen=listen)
    (folder / "nginx.conf").write_text(text)


NGINX = """
daemon off;
worker_processes 1;
worker_shutdown_timeout 1s;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port} {listen};
    {rules}
    location / {{
      proxy_pass http://{backend};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 300;
    }}
  }}
}}
"""


def _kernel_gateway(servers: Servers) -> Served:
    return _gateway(servers, "kernel-gateway", "jupyter-kernelgateway", "KernelGatewayApp", "KG")


def _enterprise_gateway(servers: Servers) -> Served:
    name = "jupyter-enterprisegateway"
    return _gateway(servers, "enterprise-gateway", name, "EnterpriseGatewayApp", "EG")


def _gateway(servers: Servers, kind: str, name: str, app: str, prefix: str) -> Served:
    folder, port, token = servers.folder(kind), free_port(), secrets.token_hex(16)
    binaries = servers.environment(kind)
    argv = [
        *(str(binaries / "python"), str(binaries / name)),
        *(f"--{app}.port={port}", f"--{app}.port_retries=0", f"--{app}.ip=127.0.0.1"),
    ]
    env = {**server_environment(folder / "home"), f"{prefix}_AUTH_TOKEN": token}
    url = f"http://127.0.0.1:{port}/"
    env = _with_path(env, binaries / "python")
    servers.start(name, argv, url + "api", env=env, cwd=folder)
    # An Enterprise Gateway starts no kernel for root, as whom tests may run.
    return Served(kind, url, ("--token-stdin", "--user", "ada"), token, token)


def _hub(servers: Servers) -> Served:
    url = start_hub(servers)
    return Served("hub", url, ("--user", "ada", "--password-stdin"), HUB_PASSWORD)


def _named_server(servers: Servers) -> Served:
    words = ("--user", "ada", "--server", "gpu", "--option", "profile=large", "--password-stdin")
    return Served("hub-named", servers.get("hub").url, words, HUB_PASSWORD)


HUB_PASSWORD = "hub-pässword"


def start_hub(servers: Servers) -> str:
    """A JupyterHub behind configurable-http-proxy, with a prefix. Returns its URL."""
    proxy = node.package("configurable-http-proxy", "5") / "bin" / "configurable-http-proxy"
    folder, binaries = servers.folder("hub"), servers.environment("hub")
    public, internal, api = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{public}/pre/"
    (folder / "jupyterhub_config.py").write_text(
        HUB.format(
            url=url,
            internal=internal,
            api=api,
            proxy=[node.NODE, str(proxy)],
            password=HUB_PASSWORD,
            folder=str(folder),
            singleuser=str(binaries / "jupyterhub-singleuser"),
        )
    )
    env = {
        **_with_path(server_environment(folder / "home"), binaries / "python"),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
    }
    argv = [str(binaries / "python"), str(binaries / "jupyterhub"), "-f", "jupyterhub_config.py"]
    servers.start("jupyterhub", argv, url + "hub/api", env=env, cwd=folder)
    return url


HUB = """
c = get_config()
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {internal}
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret = b"0" * 32
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 4
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/users/{{username}}"
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {{"JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp"}}
c.Spawner.start_timeout = 60

async def choose(spawner):
    wanted = spawner.user_options.get("profile")
    if wanted == "broken":
        spawner.cmd = ["false"]
        spawner.http_timeout = 3
    if wanted:
        spawner.environment = {{**spawner.environment, "CHOSEN_PROFILE": wanted}}

c.Spawner.pre_spawn_hook = choose
"""


def _with_path(env: dict[str, str], python: Path) -> dict[str, str]:
    """An environment in which the virtual environment's programs are found first."""
    kept = {k: v for k, v in env.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{env.get('PATH', '')}"}


KINDS: dict[str, Callable[[Servers], Served]] = {
    "server": _server,
    "server-1": _old_server,
    "password": _password_server,
    "open": _open_server,
    "no-tracebacks": _quiet_server,
    "proxied": _proxied_server,
    "hub": _hub,
    "hub-named": _named_server,
    "kernel-gateway": _kernel_gateway,
    "enterprise-gateway": _enterprise_gateway,
}


@contextlib.contextmanager
def all_servers(folder: Path) -> Iterator[Servers]:
    """Servers that end with the block, and everything that they started with them."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with contextlib.ExitStack() as stack:
        yield Servers(folder, stack)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        if not left:
            return
        time.sleep(0.1)
