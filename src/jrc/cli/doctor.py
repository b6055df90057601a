"""``jrc doctor``: check everything between here and a kernel."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jrc.cli.complete import profile_names
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal

if TYPE_CHECKING:
    from jrc.cli.doctor_talk import DoctorTalk

app = plain_typer(add_completion=False)


@app.command()
def doctor(
    profile: Annotated[
        str | None,
        typer.Argument(
            metavar="[P]",
            help="The profile; else the default one, else the embedded server.",
            autocompletion=profile_names,
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE.zip", help="Also write what a bug report needs, no secrets."
        ),
    ] = None,
) -> None:
    """Check everything between here and a kernel, and say what to do about it.

    It starts a kernel on the server and deletes it. The exit code is that of the first failure.

    \b
    Example:
      jrc doctor team --bundle report.zip
    """
    import asyncio

    from jrc.cli.doctor_talk import DoctorTalk

    with DoctorTalk(Terminal(), json=json) as talk:
        code = asyncio.run(_examined(talk, profile, bundle))
    raise typer.Exit(code)


async def _examined(talk: "DoctorTalk", profile: str | None, bundle: Path | None) -> int:
    """Make the checks and show what they found.

    Returns:
        the exit code.
    """
    from jrc.cli.interrupts import interruptible
    from jrc.doctor.bundle import write_bundle
    from jrc.doctor.examine import examine_profile, known_secrets
    from jrc.profile.paths import Paths

    paths = Paths.from_environment()
    async with interruptible():
        talk.redactor = await known_secrets(paths)
        report = await examine_profile(
            profile, paths, on_start=talk.on_start, on_result=talk.on_result
        )
        talk.on_end(report)
        if bundle is not None:
            write_bundle(bundle, report, paths, talk.redactor)
            talk.say(f"Written: {bundle}. Read through it before you send it.")
    return report.exit_code
