"""The zip for a bug report: what it contains, without any secret."""

import io
import json
import os
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jrc.doctor.redact import (
    MASK,
    Redactor,
    secrets_below,
    secrets_of_environment,
)
from jrc.doctor.report import Report
from jrc.profile.access import header_key
from jrc.profile.files import write_atomically
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secrets import SecretStore
from jrc.shapes import parse

LOG_LINES = 200
LOG_BYTES = 256 * 1024
MOST_LOGS = 12

_SHOWN_VARIABLES = ("JRC_", "JUPYTER", "PYTHON", "SSL_CERT", "KUBE", "LC_", "VSCODE_")
_SHOWN_NAMES = {
    *("CI", "COLORTERM", "LANG", "NO_COLOR", "SHELL", "TERM", "TERM_PROGRAM"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("VIRTUAL_ENV", "WSL_DISTRO_NAME"),
}

README = """\
Made by `jrc doctor --bundle` for a bug report.

report.json       what `jrc doctor --json` says
environment.json  the variables that jrc and its libraries look at
config.toml       the profiles, without comments
state/            what the tunnels' background processes say about themselves
logs/             the last lines of jrc's logs, the newest files first

Tokens, passwords, cookies and the like are replaced by ***. Read through it before you send it:
it still names your servers, profiles and folders.
"""


def make_redactor(paths: Paths, profiles: Iterable[str], kubeconfigs: Iterable[str]) -> Redactor:
    """A redactor that knows every secret of yours that jrc can find.

    Args:
        paths: jrc's folders.
        profiles: the names under which secrets are saved.
        kubeconfigs: what ``KUBECONFIG`` is for kubectl, as the profiles say; empty for its default.
    """
    known = secrets_of_environment(os.environ)
    known += [secret.reveal() for secret in SecretStore(paths).known(profiles)]
    for file in _kubeconfig_files(kubeconfigs):
        known += _secrets_of_kubeconfig(file)
    known += secrets_below(_toml(paths.config / "config.toml"))
    return Redactor(known, home=str(Path.home()))


def write_bundle(target: Path, report: Report, paths: Paths, redactor: Redactor) -> None:
    """Write the zip; only its owner can read it.

    Args:
        target: the file.
        report: what was found.
        paths: jrc's folders.
        redactor: takes the secrets out.

    Raises:
        ConfigError: it can't be written.
    """
    files = {
        "README.txt": README,
        "report.json": _json(redactor.value(report.as_json())),
        "environment.json": _json(_environment(os.environ, redactor)),
        **_config(paths, redactor),
        **_states(paths, redactor),
        **_logs(paths, redactor),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(redactor.text(name), text)
    write_atomically(target, packed.getvalue(), private=True)


def redacted_config(document: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The tables of config.toml as they may be shown.

    Two keys are shown in part: a header's value may be a secret though its name does not say so,
    and so may each word of a credential command but the first.
    """
    shown = redactor.value(document)
    profiles = document.get("profiles")
    tables = shown.get("profiles") if isinstance(shown, dict) else None
    if isinstance(profiles, Mapping) and isinstance(tables, dict):
        for name, table in profiles.items():
            if isinstance(table, Mapping) and redactor.text(str(name)) in tables:
                _show_in_part(table, tables[redactor.text(str(name))])
    return shown if isinstance(shown, dict) else {}


def _show_in_part(table: Mapping[str, Any], shown: dict[str, Any]) -> None:
    headers = table.get("headers")
    if isinstance(headers, Mapping):
        kinds = {str(name): str(source).partition(":")[0] for name, source in headers.items()}
        shown["headers"] = {name: _header_source(kind) for name, kind in kinds.items()}
    command = table.get("credential_command")
    if isinstance(command, list) and command:
        shown["credential_command"] = [str(command[0]), *[MASK] * (len(command) - 1)]


def _header_source(kind: str) -> str:
    return kind if kind == "keyring" else f"{kind}:{MASK}" if kind in ("env", "plain") else MASK


def _config(paths: Paths, redactor: Redactor) -> dict[str, str]:
    """config.toml from its values alone: a comment may hold anything."""
    document = _toml(paths.config / "config.toml")
    if document is None:
        return {}
    import tomlkit

    return {"config.toml": tomlkit.dumps(redacted_config(document, redactor))}


def _toml(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _environment(environment: Mapping[str, str], redactor: Redactor) -> object:
    shown = {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(_SHOWN_VARIABLES) or name.upper() in _SHOWN_NAMES
    }
    return redactor.value(shown)


def _states(paths: Paths, redactor: Redactor) -> dict[str, str]:
    files = {}
    for file in sorted((paths.state / "tunnels").glob("*/keeper.json")):
        try:
            state = parse(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        files[f"state/tunnel-{file.parent.name}.json"] = _json(redactor.value(state))
    return files


def _logs(paths: Paths, redactor: Redactor) -> dict[str, str]:
    found = {}
    for file in paths.logs.glob("*.log"):
        try:
            found[file] = file.stat().st_mtime
        except OSError:
            continue
    newest = sorted(found, key=lambda file: found[file], reverse=True)[:MOST_LOGS]
    return {f"logs/{file.name}": redactor.text(_tail(file)) for file in newest}


def _tail(file: Path) -> str:
    """The last lines of a log. The part of a line at the beginning is left out."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LOG_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"It can't be read: {type(error).__name__}.\n"
    if size > LOG_BYTES:
        text = text.partition("\n")[2]
    return "".join(text.splitlines(keepends=True)[-LOG_LINES:])


def _kubeconfig_files(kubeconfigs: Iterable[str]) -> set[Path]:
    named = [*kubeconfigs, os.environ.get("KUBECONFIG", "")]
    files = {Path(part) for text in named for part in text.split(os.pathsep) if part}
    return files | {Path.home() / ".kube" / "config"}


def _secrets_of_kubeconfig(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    import yaml

    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    users = tree.get("users") if isinstance(tree, Mapping) else None
    return secrets_below(users)


def secret_names(profile: Profile) -> list[str]:
    """The names under which the secrets of a profile are saved."""
    headers = profile.access.keyring_headers
    return [profile.name, *(header_key(profile.name, header) for header in headers)]


def kubeconfigs_of(profiles: Iterable[Profile]) -> list[str]:
    """The kubeconfig files that profiles name."""
    return [profile.kubernetes.kubeconfig for profile in profiles if profile.kubernetes]


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
