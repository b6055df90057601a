"""The kernelspecs that make a server's kernels look local. Pure.

VS Code shows a spec only if its display name and its folder do not look like the local default
("Python 3", ``python3``), its ``argv[0]`` is absolute and no Python interpreter, and no other spec
has both its display name and its program. Source: vscode-jupyter ``src/kernels/helpers.ts``,
``src/kernels/raw/finder/``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from jrc.editor.jsonc import Json
from jrc.shapes import map_at, parse

PROGRAM = "jrc-kernel"
"""The console script that relays to the remote kernel."""


@dataclass(frozen=True)
class ServerKernelspec:
    """A kernelspec of a server.

    Attributes:
        name: what the server starts it by.
        display_name: what people call it.
        language: of its code.
        debugger: whether it speaks the debugger's protocol.
        logos: the content of its logo files by file name, such as ``logo-64x64.png``.
    """

    name: str
    display_name: str
    language: str
    debugger: bool = False
    logos: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How an editor starts the relay.

    Attributes:
        program: the absolute path of the console script.
        environment: variables it needs beside the profile's name. No secret.
        encrypts: its sockets support CurveZMQ, for clients that require it.
    """

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)
    encrypts: bool = False


@dataclass(frozen=True)
class Owner:
    """What a kernelspec of jrc stands for."""

    profile: str
    kernel: str


@dataclass(frozen=True)
class SpecFolder:
    """A kernelspec to write.

    Attributes:
        name: of its folder, and what Jupyter calls it.
        display_name: what people see.
        owner: what it stands for.
        files: the content of its files by name.
    """

    name: str
    display_name: str
    owner: Owner
    files: Mapping[str, bytes]


def spec_folders(
    profile: str,
    kernels: Iterable[ServerKernelspec],
    launch: Launch,
    existing: Mapping[str, bytes | None],
) -> list[SpecFolder]:
    """The kernelspecs for a profile.

    Args:
        profile: its name.
        kernels: what its server offers.
        launch: how to start the relay.
        existing: the content of ``kernel.json`` by the name of its folder, for every kernelspec
            folder of this person; None where a folder has none.

    Returns:
        one folder for each kernel; a kernel that had one keeps it.
    """
    kernels = list(kernels)
    owners = {name: owner_of(text) for name, text in existing.items()}
    taken = {name.lower() for name in existing}
    plain = Counter(plain_name(kernel.display_name) for kernel in kernels)
    folders = []
    for kernel in kernels:
        owner = Owner(profile, kernel.name)
        name = next((name for name, other in owners.items() if other == owner), None)
        if name is None:
            name = _free_name(owner, taken)
        taken.add(name.lower())
        title = plain_name(kernel.display_name)
        if plain[title] > 1:
            title += f" [{kernel.name}]"
        display_name = _display_name(title, profile)
        spec = _merged(existing.get(name), _spec(name, display_name, kernel, owner, launch))
        files = {**_kernel_json(spec), **_safe_logos(kernel.logos)}
        folders.append(SpecFolder(name, display_name, owner, files))
    return folders


def renamed_folders(old: str, new: str, existing: Mapping[str, bytes | None]) -> list[SpecFolder]:
    """The kernelspecs of a profile under its new name.

    The folders keep theirs: notebooks name their kernel by it.

    Args:
        old: the profile's name.
        new: the name that it gets.
        existing: the content of ``kernel.json`` by the name of its folder.
    """
    folders = []
    for name, text in existing.items():
        owner = owner_of(text)
        if owner is None or owner.profile != old:
            continue
        owner = Owner(new, owner.kernel)
        spec = _object(_loads(text))
        title = str(spec.get("display_name", name)).removesuffix(_display_name("", old))
        spec["display_name"] = _display_name(title, new)
        spec["env"] = {**_object(spec.get("env")), "JRC_PROFILE": new}
        spec["metadata"] = {**_object(spec.get("metadata")), "jrc": _jrc_metadata(owner)}
        folders.append(SpecFolder(name, _display_name(title, new), owner, _kernel_json(spec)))
    return folders


def owner_of(text: bytes | None) -> Owner | None:
    """What a ``kernel.json`` stands for; None if it was not written by jrc."""
    ours = map_at(_loads(text), "metadata", "jrc")
    profile, kernel = ours.get("profile"), ours.get("kernel")
    if isinstance(profile, str) and isinstance(kernel, str):
        return Owner(profile, kernel)
    return None


def plain_name(display_name: str) -> str:
    """``Python 3`` for ``Python 3 (ipykernel)``: the rest is the same everywhere."""
    return re.sub(r"\s*\(ipykernel\)\s*$", "", display_name).strip() or display_name


def _display_name(title: str, profile: str) -> str:
    return f"{title} · {profile} (jrc)"


def _jrc_metadata(owner: Owner) -> Json:
    return {"profile": owner.profile, "kernel": owner.kernel}


def _kernel_json(spec: Mapping[str, Json]) -> dict[str, bytes]:
    text = json.dumps(spec, ensure_ascii=False, indent=1) + "\n"
    return {"kernel.json": text.encode()}


def _spec(
    name: str, display_name: str, kernel: ServerKernelspec, owner: Owner, launch: Launch
) -> dict[str, Json]:
    metadata: dict[str, Json] = {"jrc": _jrc_metadata(owner)}
    if kernel.debugger:
        metadata["debugger"] = True
    if launch.encrypts:
        # Without this entry a manager whose encryption is "required" starts no kernel, and one
        # whose encryption is "auto" gives it no keys. Source: JEP 145.
        metadata["supported_encryption"] = ["curve"]
    environment: dict[str, Json] = {"JRC_PROFILE": owner.profile, "JRC_KERNEL": owner.kernel}
    environment.update(launch.environment)
    return {
        "argv": [launch.program, "-f", "{connection_file}"],
        "display_name": display_name,
        "language": kernel.language,
        "name": name,
        "interrupt_mode": "message",
        "env": environment,
        "metadata": metadata,
    }


def _merged(text: bytes | None, spec: dict[str, Json]) -> dict[str, Json]:
    """Our spec, with the keys and variables that somebody added to an older one."""
    old = _object(_loads(text))
    if owner_of(text) is None:
        return spec
    merged = {**old, **spec}
    for key in ("env", "metadata"):
        merged[key] = {**_object(old.get(key)), **_object(spec[key])}
    return merged


def _free_name(owner: Owner, taken: set[str]) -> str:
    words = re.sub(r"[^a-z0-9._-]+", "-", f"jrc-{owner.profile}-{owner.kernel}".lower())
    name, number = words, 2
    while name in taken:
        name, number = f"{words}-{number}", number + 1
    return name


def _safe_logos(logos: Mapping[str, bytes]) -> dict[str, bytes]:
    """The logos whose names stay in the folder: they come from the server."""
    allowed = re.compile(r"logo-[A-Za-z0-9]+\.(?:png|svg)")
    return {name: logos[name] for name in sorted(logos) if allowed.fullmatch(name)}


def _loads(text: bytes | None) -> Json:
    try:
        return cast("Json", parse(text)) if text else None
    except ValueError:
        return None


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
