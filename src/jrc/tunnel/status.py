"""A keeper's status in its state file, and the folder that it shares with the commands.

The folder of a profile's tunnel holds ``keeper.json`` (the state, mode 0600), ``key`` (by which the
keeper proves itself, mode 0600), ``led-to.json`` (what the next keeper should know), two locks,
``hold`` (there while the tunnel is to stay though it is not used), and ``ended`` (there after it
was ended on purpose).
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from jrc.profile.files import create_folder, write_atomically
from jrc.profile.paths import Paths
from jrc.profile.route import IDLE_MINUTES, Route
from jrc.shapes import Reader, parse, state_of
from jrc.tunnel.cause import Cause, Kind
from jrc.tunnel.machine import Phase
from jrc.tunnel.processes import start_time
from jrc.tunnel.proof import KEY_BYTES, PROTOCOL

FORMAT = 1

LOCKED_OUT = 75
"""Exit code of a keeper: another keeper of the profile runs."""


@dataclass(frozen=True)
class Spec:
    """What a keeper keeps.

    Attributes:
        profile: whose tunnel it is.
        route: where it leads.
        port: the local port that is wanted.
        path: the server's base path, with a slash at both ends.
    """

    profile: str
    route: Route
    port: int
    path: str = "/"


@dataclass(frozen=True)
class Traffic:
    """What went through, in bytes and connections."""

    up: int = 0
    down: int = 0
    connections: int = 0
    open: int = 0


@dataclass(frozen=True)
class LedTo:
    """Where a tunnel led when it was ready last.

    Attributes:
        way: context, namespace, target and port; see ``way_of``.
        at: in seconds since 1970.
    """

    way: str
    pod: str
    uid: str
    at: float


def way_of(route: Route) -> str:
    """What of a route decides which pod it leads to."""
    return f"{route.context} {route.namespace} {route.target} {route.port}"


@dataclass(frozen=True)
class KeeperStatus:
    """One keeper, as its state file has it.

    Attributes:
        pid, started: its process, and when that started; see ``processes``.
        phase: where the tunnel is.
        port: the local port that it has; 0 before it listens.
        pod, uid: what it forwards to, or did last.
        since: when the phase began, in seconds since 1970.
        restarts: how often the tunnel was lost and came back.
        cause: why it is down, or was last.
        note: what a login program says at the moment.
    """

    spec: Spec
    pid: int
    started: str
    phase: Phase
    since: float
    port: int = 0
    pod: str = ""
    uid: str = ""
    restarts: int = 0
    cause: Cause | None = None
    note: str = ""
    traffic: Traffic = field(default_factory=Traffic)

    def runs(self) -> bool:
        """The keeper runs; the number of its process does not belong to another one."""
        return bool(self.started) and start_time(self.pid) == self.started

    @property
    def moved(self) -> bool:
        """Another program has the wanted port, so the tunnel has another one this time."""
        return self.port not in (0, self.spec.port)

    @property
    def url(self) -> str:
        """The server's base URL on this machine."""
        return f"http://127.0.0.1:{self.port}{self.spec.path}"


@dataclass(frozen=True)
class KeeperFiles:
    """The files that a profile's keeper and the commands share."""

    folder: Path
    log: Path

    @classmethod
    def of(cls, paths: Paths, profile: str) -> "KeeperFiles":
        return cls(paths.state / "tunnels" / profile, paths.logs / f"tunnel-{profile}.log")

    @property
    def state(self) -> Path:
        return self.folder / "keeper.json"

    @property
    def lock(self) -> Path:
        """Held while a keeper lives."""
        return self.folder / "lock"

    @property
    def start_lock(self) -> Path:
        """Held while a keeper is being started."""
        return self.folder / "start-lock"

    @property
    def held(self) -> bool:
        """The tunnel is to stay though it is not used."""
        return self._hold.exists()

    @property
    def _hold(self) -> Path:
        return self.folder / "hold"

    @property
    def ended(self) -> bool:
        """The tunnel was ended on purpose: it does not come up again unasked."""
        return self._ended.exists()

    @property
    def _ended(self) -> Path:
        return self.folder / "ended"

    def mark_ended(self, ended: bool) -> None:
        """Note that the tunnel was ended on purpose, or is wanted again."""
        if ended and self.folder.exists():
            self._ended.touch()
        elif not ended:
            self._ended.unlink(missing_ok=True)

    def prepare(self) -> None:
        """Create the folders; only their owner may look into them."""
        create_folder(self.folder, private=True)
        create_folder(self.log.parent, private=True)

    def hold(self, wanted: bool) -> None:
        """Ask the keeper to stay, or to end when it is not used."""
        if wanted:
            self.prepare()
            self._hold.touch()
        else:
            self._hold.unlink(missing_ok=True)

    def write(self, status: KeeperStatus) -> None:
        """Replace the state file.

        Raises:
            ConfigError: it can't be written.
        """
        text = json.dumps({"format": FORMAT, **asdict(status)}, indent=1)
        write_atomically(self.state, text, private=True)

    def read(self) -> KeeperStatus | None:
        """What the state file says; None when there is none, or one that can't be understood."""
        try:
            return _status(state_of(parse(self.state.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            return None

    def prepare_key(self) -> bytes:
        """The key by which the keeper proves itself, made where there is none. For the keeper.

        Raises:
            ConfigError: it can't be written.
        """
        if key := self.key():
            return key
        key = os.urandom(KEY_BYTES)
        write_atomically(self._key, f"{PROTOCOL} {key.hex()}", private=True)
        return key

    def key(self) -> bytes | None:
        """The key by which the keeper proves itself.

        None where no keeper has made one, or one that proves itself in another way.
        """
        try:
            protocol, text = self._key.read_text(encoding="ascii").split(" ")
            key = bytes.fromhex(text)
        except (OSError, ValueError):
            return None
        return key if protocol == PROTOCOL and len(key) == KEY_BYTES else None

    @property
    def _key(self) -> Path:
        return self.folder / "key"

    def remember(self, led_to: LedTo) -> None:
        """Note where the tunnel leads; it outlives the keeper.

        Raises:
            ConfigError: it can't be written.
        """
        write_atomically(self._led_to, json.dumps(asdict(led_to)), private=True)

    def remembered(self, route: Route) -> LedTo | None:
        """Where a tunnel of this route led last; None where that is not known."""
        try:
            found = _led_to(state_of(parse(self._led_to.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            return None
        return found if found.way == way_of(route) else None

    @property
    def _led_to(self) -> Path:
        return self.folder / "led-to.json"

    def forget(self) -> None:
        """Remove the state file."""
        self.state.unlink(missing_ok=True)


def crashed(status: KeeperStatus) -> KeeperStatus:
    """The status of a keeper that is gone without having said why."""
    cause = Cause(Kind.LOST, "The tunnel's background process ended unexpectedly.")
    return replace(status, phase=Phase.FAILED, cause=cause, note="")


def encode_orders(spec: Spec, files: KeeperFiles) -> str:
    """What a new keeper reads from stdin: one line of JSON."""
    return json.dumps({"spec": asdict(spec), "folder": str(files.folder), "log": str(files.log)})


def decode_orders(text: str) -> tuple[Spec, KeeperFiles]:
    """What ``encode_orders`` wrote."""
    read = state_of(parse(text))
    folder, log = (Path(read.field(key).file_name()) for key in ("folder", "log"))
    return _spec(read.field("spec")), KeeperFiles(folder, log)


def _spec(read: Reader) -> Spec:
    route = read.field("route")
    return Spec(
        profile=read.field("profile").text(),
        route=Route(
            context=route.field("context").text(),
            namespace=route.field("namespace").text(),
            target=route.field("target").text(),
            port=route.field("port").number(),
            kubeconfig=route.field("kubeconfig").file_name(""),
            idle_minutes=route.field("idle_minutes").number(IDLE_MINUTES),
        ),
        port=read.field("port").number(),
        path=read.field("path").text("/"),
    )


def _status(read: Reader) -> KeeperStatus:
    # Keepers of jrc 0.1 write "refused", too.
    if read.field("format").number() != FORMAT:
        raise read.field("format").fault(str(FORMAT))
    traffic, cause = read.field("traffic"), read.field("cause")
    return KeeperStatus(
        spec=_spec(read.field("spec")),
        pid=read.field("pid").number(),
        started=read.field("started").text(),
        phase=Phase(read.field("phase").text()),
        since=read.field("since").real(),
        port=read.field("port").number(0),
        pod=read.field("pod").text(""),
        uid=read.field("uid").text(""),
        restarts=read.field("restarts").number(0),
        cause=None if cause.is_null else _cause(cause),
        note=read.field("note").text(""),
        traffic=Traffic(
            *(traffic.field(key).number(0) for key in ("up", "down", "connections", "open"))
        ),
    )


def _cause(read: Reader) -> Cause:
    return Cause(
        Kind(read.field("kind").text()),
        read.field("message").text(),
        read.field("hint").text(""),
    )


def _led_to(read: Reader) -> LedTo:
    return LedTo(
        way=read.field("way").text(),
        pod=read.field("pod").text(),
        uid=read.field("uid").text(),
        at=read.field("at").real(),
    )
