"""The command line of ``jrc login``."""

from pathlib import Path
from typing import Annotated

import typer

from jrc.cli.complete import profile_names
from jrc.cli.lazy import plain_typer
from jrc.cli.login.options import (
    AccessOptions,
    IdentityOptions,
    KubernetesOptions,
    LoginOptions,
)
from jrc.cli.options import pairs
from jrc.cli.terminal import Terminal
from jrc.errors import UsageError
from jrc.profile.paths import Paths

app = plain_typer(add_completion=False)


@app.command()
def login(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The server; asked for when missing.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "-P",
            "--profile",
            help="The profile's name; else the host.",
            autocompletion=profile_names,
        ),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do not check the server's TLS certificate.")
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="PEM", help="CAs to trust as well.")
    ] = None,
    client_cert: Annotated[
        Path | None, typer.Option("--client-cert", metavar="PEM", help="A client certificate.")
    ] = None,
    client_key: Annotated[
        Path | None, typer.Option("--client-key", metavar="PEM", help="Its key.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="K=FROM", help="Send it; FROM: env:NAME or keyring."),
    ] = None,
    credential_command: Annotated[
        str | None,
        typer.Option("--credential-command", metavar="CMD", help="A program that gives a token."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Who you are at a hub or gateway.")
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", metavar="NAME", help="Hub: your named server.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="K=V", help="Hub: start the server with it."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="NAME", help="Kubernetes: kubectl's context."),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Kubernetes: the namespace."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="KIND/NAME", help="Kubernetes: svc/NAME, pod/NAME …"),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Kubernetes: the target's port; else 8888.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="PATH", help="Kubernetes: the server's prefix."),
    ] = None,
    token_from: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Kubernetes: secret/NAME:KEY, or pod to ask it."),
    ] = None,
) -> None:
    """Save a server as a profile, and its token or password in the keyring.

    \b
    Example:
      jrc login https://jupyter.example.org --profile team
      jrc login --context prod -n team --target svc/jupyter --token-from pod
    """
    if token_stdin + password_stdin + (token_from is not None) > 1:
        raise UsageError("--token-stdin, --password-stdin and --token-from exclude each other.")
    options = LoginOptions(
        url,
        profile,
        "token" if token_stdin else "password" if password_stdin else "",
        AccessOptions(
            insecure, ca_file, client_cert, client_key, tuple(header or ()), credential_command
        ),
        IdentityOptions(user, server, pairs(option or [], "--option")),
        KubernetesOptions(context, namespace, target, port, token_from, base_url),
    )
    import asyncio

    from jrc.cli.login.flow import log_in

    asyncio.run(log_in(options, Terminal(), Paths.from_environment()))
