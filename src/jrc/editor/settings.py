"""What a settings file becomes when profiles are connected and disconnected. Pure.

A record remembers the text from before the first connect. While nobody else edits the file it is
always that text plus what the connected profiles want, so the last disconnect gives it back byte
for byte. Where somebody did edit it, keys are put in and taken out one by one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from jrc.editor import jsonc
from jrc.editor.jsonc import MISSING, Json

SERVERS = "jrc.servers"
"""Our setting: server id → label, URL, profile. Never a secret."""


@dataclass(frozen=True)
class WantedSettings:
    """What one profile wants in one settings file.

    Attributes:
        servers: entries of ``jrc.servers`` by their id.
        own: settings of jrc itself, which replace what is there.
        defaults: settings of others, set only if there is no value yet.
    """

    servers: Mapping[str, Json] = field(default_factory=dict)
    own: Mapping[str, Json] = field(default_factory=dict)
    defaults: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class SettingsRecord:
    """What jrc knows about a settings file that it changed.

    Attributes:
        original: the text without anything of jrc; None if there would be no file.
        written: ``fingerprint`` of the text as jrc left it.
        wanted: what each connected profile has there.
    """

    original: str | None
    written: str
    wanted: Mapping[str, WantedSettings]


@dataclass(frozen=True)
class Outcome:
    """A settings file after a change.

    Attributes:
        text: its new text; None if there is to be no file.
        record: what to remember; None if nothing of jrc is left.
        left: keys that jrc had set and that somebody changed since; they stay.
    """

    text: str | None
    record: SettingsRecord | None
    left: tuple[str, ...] = ()


def fingerprint(text: str | None) -> str:
    """A digest that tells whether a file is as jrc left it."""
    if text is None:
        return "none"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def connected(
    text: str | None, record: SettingsRecord | None, profile: str, wanted: WantedSettings
) -> Outcome:
    """The file with a profile connected.

    Args:
        text: the file's text now; None if there is no file.
        record: what jrc knows about it.
        profile: its name.
        wanted: what it wants there.

    Raises:
        JsoncError: the text can't be parsed, or the place of a setting is taken by something else.
    """
    if record is None:
        return _rendered(text, text, {profile: wanted})
    # All profiles share the settings of jrc itself: the newest values apply to all of them.
    wants = {name: replace(old, own=wanted.own) for name, old in record.wanted.items()}
    wants[profile] = wanted
    if fingerprint(text) == record.written:
        return _rendered(record.original, record.original, wants)
    original = _taken_out(text, record, keep={}).text
    before = _taken_out(text, record, keep=wants).text
    return _rendered(original, before, wants)


def disconnected(text: str | None, record: SettingsRecord | None, profile: str) -> Outcome:
    """The file with a profile disconnected.

    Args:
        text: the file's text now; None if there is no file.
        record: what jrc knows about it.
        profile: its name; nothing happens if it is not connected there.

    Raises:
        JsoncError: somebody edited the text, and it can't be parsed.
    """
    if record is None or profile not in record.wanted:
        return Outcome(text, record)
    rest = {name: wanted for name, wanted in record.wanted.items() if name != profile}
    if fingerprint(text) == record.written:
        if not rest:
            return Outcome(record.original, None)
        return _rendered(record.original, record.original, rest)
    if text == record.original and not rest:
        # jrc was stopped between its record and its write.
        return Outcome(text, None)
    outcome = _taken_out(text, record, keep=rest)
    if not rest:
        return outcome
    original = _taken_out(text, record, keep={}).text
    kept = SettingsRecord(original, fingerprint(outcome.text), rest)
    return replace(outcome, record=kept)


def renamed(text: str | None, record: SettingsRecord | None, old: str, new: str) -> Outcome:
    """The file with the entries of a profile under its new name.

    Args:
        text: the file's text now; None if there is no file.
        record: what jrc knows about it.
        old: the profile's name; nothing happens if it is not connected there.
        new: the name that it gets.

    Raises:
        JsoncError: somebody edited the text, and it can't be parsed.
    """
    if record is None or old not in record.wanted:
        return Outcome(text, record)
    wants = {
        (new if name == old else name): (_under_name(wanted, new) if name == old else wanted)
        for name, wanted in record.wanted.items()
        if name != new
    }
    if fingerprint(text) == record.written:
        return _rendered(record.original, record.original, wants)
    rest = {name: wanted for name, wanted in wants.items() if name != new}
    original = _taken_out(text, record, keep={}).text
    before = _taken_out(text, record, keep=rest).text
    return _rendered(original, before, wants)


def _under_name(wanted: WantedSettings, profile: str) -> WantedSettings:
    entries: dict[str, Json] = {}
    for entry in wanted.servers.values():
        fields = entry if isinstance(entry, dict) else {}
        entries[profile] = {**fields, "label": profile, "profile": profile}
    return replace(wanted, servers=entries)


def _rendered(
    original: str | None, text: str | None, wants: Mapping[str, WantedSettings]
) -> Outcome:
    """The text with everything that is wanted put in."""
    result = text or ""
    for wanted in wants.values():
        for server, entry in wanted.servers.items():
            result = jsonc.set_value(result, (SERVERS, server), entry)
        for key, value in wanted.own.items():
            result = jsonc.set_value(result, (key,), value)
        for key, value in wanted.defaults.items():
            if jsonc.get(result, (key,)) is MISSING:
                result = jsonc.set_value(result, (key,), value)
    return Outcome(result, SettingsRecord(original, fingerprint(result), dict(wants)))


def _taken_out(
    text: str | None, record: SettingsRecord, *, keep: Mapping[str, WantedSettings]
) -> Outcome:
    """The text without what jrc put in for the profiles that are not to be kept."""
    if text is None:
        return Outcome(None, None)
    result = text
    before = jsonc.loads(record.original or "")
    stay = {server for wanted in keep.values() for server in wanted.servers}
    for server in _keys(wanted.servers for wanted in record.wanted.values()):
        if server not in stay:
            result = jsonc.remove(result, (SERVERS, server))
    if jsonc.get(result, (SERVERS,)) == {} and SERVERS not in before:
        result = jsonc.remove(result, (SERVERS,))
    left = []
    stay = {key for wanted in keep.values() for key in (*wanted.own, *wanted.defaults)}
    for key, ours in _set_by_jrc(record, before).items():
        now = jsonc.get(result, (key,))
        if key in stay or now is MISSING:
            continue
        if now not in ours:
            left.append(key)
        elif key in before:
            result = jsonc.set_value(result, (key,), before[key])
        else:
            result = jsonc.remove(result, (key,))
    empty = record.original is None and not result.strip("\ufeff{} \t\r\n")
    return Outcome(None if empty else result, None, tuple(left))


def _keys(mappings: Iterable[Mapping[str, Json]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _set_by_jrc(record: SettingsRecord, before: Mapping[str, Json]) -> dict[str, list[Json]]:
    """The keys beside ``jrc.servers`` that jrc set, each with the values that it may have set."""
    ours: dict[str, list[Json]] = {}
    for wanted in record.wanted.values():
        for key, value in wanted.own.items():
            ours.setdefault(key, []).append(value)
        for key, value in wanted.defaults.items():
            if key not in before:
                ours.setdefault(key, []).append(value)
    return ours


def record_to_json(record: SettingsRecord) -> dict[str, Json]:
    """The record as the ledger stores it."""
    return {
        "original": record.original,
        "written": record.written,
        "wanted": {
            profile: {
                "servers": dict(wanted.servers),
                "own": dict(wanted.own),
                "defaults": dict(wanted.defaults),
            }
            for profile, wanted in record.wanted.items()
        },
    }


def record_from_json(stored: Json) -> SettingsRecord | None:
    """The record that the ledger stored; None if it is not one."""
    if not isinstance(stored, dict):
        return None
    original, written, wanted = (stored.get(key) for key in ("original", "written", "wanted"))
    if not (original is None or isinstance(original, str)) or not isinstance(written, str):
        return None
    profiles = {}
    for profile, each in wanted.items() if isinstance(wanted, dict) else ():
        parts = each if isinstance(each, dict) else {}
        profiles[profile] = WantedSettings(
            **{
                part: cast("dict[str, Json]", parts.get(part) or {})
                for part in ("servers", "own", "defaults")
            }
        )
    return SettingsRecord(original, written, profiles)
