"""Who is told what: `alerts.toml` of a project, checked whole when it is read.

[promise]
availability = 0.999          # share of requests that do not fail
fast = 0.99                   # share of answers within slow_ms
slow_ms = 100

[[to]]
name = "on-call"
url = "slack://..."           # whatever Apprise speaks; webhook+https://... posts plain JSON; env:NAME reads it there
urgency = ["page", "notify"]
loops = ["*"]

[[to]]
name = "team"
url = "mailto://..."
urgency = ["notify", "ticket"]
events = ["VersionPromoted", "Run*"]
digest = "08:00"              # UTC, once a day
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loopwright.alerts.urgency import Urgency
from loopwright.errors import SettingsError, did_you_mean

FILE = "alerts.toml"
WEBHOOK = "webhook+"
"""Before the address of one that takes plain JSON."""
_FROM_ENVIRONMENT = "env:"
_LONGEST_NAME = 64
_FORMS: Mapping[type, str] = {str: '"..."', float: "0.99", list: '["..."]'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a loop's users may rely on. The default is that of the Prometheus rules in `lw dashboards`."""

    availability: float = 0.999
    """Share of the requests that do not fail."""
    fast: float = 0.99
    """Share of the answers that take `slow_ms` at most."""
    slow_ms: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One way to somebody, and what goes that way."""

    name: str
    url: str
    """May hold a password: never printed, never stored."""
    urgency: frozenset[Urgency]
    loops: tuple[str, ...] = ("*",)
    events: tuple[str, ...] = ()
    """Kinds of events that are told here as they happen, whatever their urgency."""
    digest: time | None = None
    """When, in UTC, the day's digest goes out; None: not here."""

    def wants(self, loop: str, urgency: Urgency) -> bool:
        return urgency in self.urgency and self.is_for(loop)

    def subscribes(self, loop: str, kind: str) -> bool:
        return self.is_for(loop) and any(fnmatchcase(kind, pattern) for pattern in self.events)

    def is_for(self, loop: str) -> bool:
        """Whether what happens to a loop is told here at all."""
        return not loop or any(fnmatchcase(loop, pattern) for pattern in self.loops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    promise: Promise = Promise()
    recipients: tuple[Recipient, ...] = ()
    base_url: str = ""
    """Of the console, for links; empty: messages say the command alone."""


def read(project: Path) -> Config:
    """What the project's `alerts.toml` says; nobody is told anything where there is none. Raises `SettingsError`."""
    file = project / FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{FILE} cannot be read: {error}", where=str(file)) from None
    try:
        return parse(tomllib.loads(text), os.environ, str(file))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{FILE} is no TOML: {error}", where=str(file), fix="mend that line") from None


def parse(found: Mapping[str, Any], environment: Mapping[str, str], where: str = FILE) -> Config:
    """Raises `SettingsError` for what is unknown, of the wrong kind, or named twice.

    >>> config = parse({"to": [{"name": "me", "url": "json://127.0.0.1:9", "urgency": ["page"]}]}, {})
    >>> config.recipients[0].wants("flights", Urgency.PAGE)
    True
    """
    _known(found, ("promise", "to", "base_url"), where)
    told = found.get("to", [])
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise SettingsError("'to' is no list of tables", where=where, fix="write [[to]] above each")
    recipients = tuple(_recipient(one, environment, where) for one in told)
    names = [one.name for one in recipients]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"two recipients are called {twice!r}", where=where, fix="rename one")
    base_url = _of(found, "base_url", str, "", where)
    return Config(promise=_promise(found.get("promise", {}), where), recipients=recipients, base_url=base_url)


def _promise(found: Any, where: str) -> Promise:
    if not isinstance(found, dict):
        raise SettingsError("'promise' is no table", where=where, fix="write [promise]")
    _known(found, ("availability", "fast", "slow_ms"), f"{where}, [promise]")
    values = {name: _of(found, name, float, getattr(Promise(), name), where) for name in Promise.__slots__}
    for name in ("availability", "fast"):
        if not 0 < values[name] < 1:
            raise SettingsError(
                f"{name} = {values[name]:g} is no promise", where=where, fix="write a share between 0 and 1: 0.999"
            )
    if not values["slow_ms"] > 0:
        raise SettingsError(f"slow_ms = {values['slow_ms']:g} is no time", where=where, fix="write slow_ms = 100")
    return Promise(**values)


def _recipient(found: Mapping[str, Any], environment: Mapping[str, str], where: str) -> Recipient:
    name = _of(found, "name", str, "", where)
    where = f"{where}, [[to]] {name!r}"
    if not name or len(name) > _LONGEST_NAME:
        raise SettingsError("a recipient has no name", where=where, fix='write name = "on-call"')
    _known(found, ("name", "url", "urgency", "loops", "events", "digest"), where)
    return Recipient(
        name=name,
        url=_url(_of(found, "url", str, "", where), environment, where),
        urgency=frozenset(_urgency(one, where) for one in _texts(found, "urgency", ["page", "notify"], where)),
        loops=tuple(_texts(found, "loops", ["*"], where)),
        events=tuple(_texts(found, "events", [], where)),
        digest=_time(found.get("digest"), where),
    )


def _url(told: str, environment: Mapping[str, str], where: str) -> str:
    if told.startswith(_FROM_ENVIRONMENT):
        name = told.removeprefix(_FROM_ENVIRONMENT)
        if name not in environment:
            raise SettingsError(f"the environment has no {name}", where=where, fix=f"set {name}, or write the url")
        told = environment[name]
    if "://" not in told:
        raise SettingsError("there is no url to go to", where=where, fix='write url = "mailto://..."')
    if told.startswith(WEBHOOK) and not _is_web_address(told.removeprefix(WEBHOOK)):
        fix = f'write url = "{WEBHOOK}https://host:port/path", in ASCII and without spaces'
        raise SettingsError("the url of the webhook is no address of the web", where=where, fix=fix)
    return told


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and _is_plain(url)
    except ValueError:
        return False


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _urgency(told: str, where: str) -> Urgency:
    names = [one.value for one in Urgency]
    if told not in names:
        raise SettingsError(f"{told!r} is no urgency; {did_you_mean(told, names)}", where=where)
    return Urgency(told)


def _time(told: Any, where: str) -> time | None:
    if told is None:
        return None
    try:
        found = told if isinstance(told, time) else time.fromisoformat(told)
    except (TypeError, ValueError):
        raise SettingsError(f"digest = {told!r} is no time of day", where=where, fix='write digest = "08:00"') from None
    if found.tzinfo is not None:
        raise SettingsError(f"digest = {told!r} names a zone", where=where, fix='write it in UTC: digest = "08:00"')
    return found


def _texts(found: Mapping[str, Any], name: str, default: list[str], where: str) -> list[str]:
    told: list[object] = _of(found, name, list, default, where)
    texts = [one for one in told if isinstance(one, str) and one]
    if len(texts) < len(told):
        raise SettingsError(f"{name} = {told!r} is no list of texts", where=where, fix=f'write {name} = ["..."]')
    return texts


def _of(found: Mapping[str, Any], name: str, kind: type, default: Any, where: str) -> Any:
    told = found.get(name, default)
    fits = isinstance(told, int | float) and not isinstance(told, bool) if kind is float else isinstance(told, kind)
    if not fits:
        shown = name if name == "url" else f"{name} = {told!r}"  # it may hold a password
        raise SettingsError(
            f"{shown} is not of kind {kind.__name__}", where=where, fix=f"write {name} = {_FORMS[kind]}"
        )
    return float(told) if kind is float else told


def _known(found: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in found:
        if name not in names:
            raise SettingsError(f"{name!r} is nothing known; {did_you_mean(name, names)}", where=where)
