"""The one table of settings. The command line, the environment, the file and the docs are all made from it.

Precedence, lowest first: default, `loopwright.toml`, environment (`LW_NAME`), flag (`--set name=value`).
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from loopwright.errors import SettingsError, did_you_mean

Value = str | int | float
PREFIX = "LW_"
FILE = "loopwright.toml"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    type: type[str] | type[int] | type[float]
    default: Value
    unit: str
    help: str
    least: float | None = None
    choices: tuple[str, ...] = ()


_WHEN_FULL, _MODES = ("refuse", "answer"), ("hash", "drop")
_LOGGED = ("off", "errors", "all")
TABLE: tuple[Setting, ...] = (
    Setting("workspace", str, ".loopwright", "folder", "where everything is kept; relative to the pipeline's file"),
    Setting("metadata_url", str, "", "URL", "metadata: sqlite:///... or postgresql://...; empty: in the workspace"),
    Setting("artifacts_url", str, "", "URL", "content of artifacts: a folder or s3://...; empty: in the workspace"),
    Setting("tables_url", str, "", "URL", "Delta tables: a folder or s3://...; empty: in the workspace"),
    Setting("workers", int, 0, "count", "steps or fragments at work side by side; 0: one a core", 0),
    Setting("lease_seconds", float, 20.0, "seconds", "how long a silent worker keeps its run", 0.5),
    Setting("heartbeat_seconds", float, 1.0, "seconds", "how often a worker extends its lease", 0.05),
    Setting("busy_timeout_seconds", float, 30.0, "seconds", "how long a write waits for another on SQLite", 0),
    Setting("gc_grace_seconds", float, 3600.0, "seconds", "content younger than this is never collected", 0),
    Setting("route_poll_seconds", float, 0.5, "seconds", "how often a gateway reads routes and keys", 0.05),
    Setting("memory_budget_bytes", int, 2 << 30, "bytes", "memory for models, of each worker; 0: no limit", 0),
    Setting("allowed_hosts", str, "", "names", "by which a gateway may be asked, between commas, beside its address"),
    Setting("max_body_bytes", int, 16 << 20, "bytes", "what a request to a gateway may hold", 1024),
    Setting("platform_loop", str, "", "loop", "what /invocations and Vertex's routes ask; empty: the only one served"),
    Setting("max_rows", int, 50_000, "count", "rows, or labels, that a request to a gateway may hold", 1),
    Setting("max_connections", int, 10_000, "count", "that a process of a gateway holds open", 1),
    Setting("deadline_seconds", float, 10.0, "seconds", "a prediction may take; then it is answered with 504", 0.05),
    Setting("queue_share", float, 0.25, "share", "of the deadline: who would wait for longer is told 503 at once", 0),
    Setting("recycle_seconds", float, 5.0, "seconds", "a model hangs beyond the deadline before its process ends", 0.1),
    Setting("journal_full", str, "refuse", "choice", "of what cannot be recorded: refuse or answer", None, _WHEN_FULL),
    Setting("journal_patience_seconds", float, 1.0, "seconds", "what a write may take; 0: as long as it does", 0),
    Setting("journal_close_seconds", float, 60.0, "seconds", "age of a journal file that is due for the table", 0.05),
    Setting("compact_seconds", float, 60.0, "seconds", "how often a gateway turns journals into tables; 0: never", 0),
    Setting("cache_answers", int, 0, "count", "answers to equal inputs that a worker remembers; 0: none", 0),
    Setting("predictions_share", float, 1.0, "share", "of the requests, which part is recorded: from 0 to 1", 0),
    Setting("predictions_days", int, 0, "days", "how long predictions are kept; 0: for good, failures 90 days", 0),
    Setting("access_log", str, "off", "choice", "a line of JSON an answer: off, errors or all", None, _LOGGED),
    Setting("access_log_file", str, "", "file", "where the access log goes; empty: stderr"),
    Setting("otel_endpoint", str, "", "URL", "a gateway's traces, by OTLP over HTTP, such as http://host:4318/v1/traces"),
    Setting("otel_share", float, 0.01, "share", "of the requests that is traced, where the client does not say", 0),
    Setting("reconcile_seconds", float, 1.0, "seconds", "how often each part of lw up looks at what is due", 0.05),
    Setting("source_poll_seconds", float, 3600.0, "seconds", "how often lw up looks into the source of a loop", 1),
    Setting("clock_file", str, "", "file", "the time of day, turned by hand, for replays; empty: the machine's clock"),
    Setting("pii", str, "hash", "choice", "columns tagged pii in the log: hash or drop", None, _MODES),
)  # fmt: skip

BY_NAME: Mapping[str, Setting] = MappingProxyType({setting.name: setting for setting in TABLE})


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value and who chose it."""

    value: Value
    origin: str
    """`default`, the file's path, `LW_NAME`, or `--set`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their origins. Objects receive values, never this."""

    chosen: Mapping[str, Chosen]

    def text(self, name: str) -> str:
        return str(self.chosen[name].value)

    def integer(self, name: str) -> int:
        return int(self.chosen[name].value)

    def number(self, name: str) -> float:
        return float(self.chosen[name].value)

    def overrides(self) -> dict[str, Value]:
        """What differs from the defaults, to hand to another process."""
        return {name: chosen.value for name, chosen in self.chosen.items() if chosen.origin != "default"}


def load(folder: Path, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settle every setting for a project folder; the file is looked for there and in the folders above.

    Raises SettingsError for unknown names and values of the wrong type, naming where they were written.

    >>> settings = load(Path("/nowhere"), {"lease_seconds": "9"}, {"LW_WORKERS": "3"})
    >>> settings.number("lease_seconds"), settings.integer("workers")
    (9.0, 3)
    """
    chosen = {setting.name: Chosen(setting.default, "default") for setting in TABLE}
    path = find(folder)
    for name, value, origin in [
        *_from_file(path),
        *_from_environment(os.environ if environ is None else environ),
        *((name, value, "--set") for name, value in (flags or {}).items()),
    ]:
        chosen[name] = Chosen(parse(name, value, origin), origin)
    _check_together(chosen)
    return Settings(MappingProxyType(chosen))


def variable(name: str) -> str:
    """The environment variable of a setting.

    >>> variable("workers")
    'LW_WORKERS'
    """
    return PREFIX + name.upper()


def find(folder: Path) -> Path | None:
    """The nearest `loopwright.toml`, here or above."""
    folder = folder.absolute()
    return next((above / FILE for above in [folder, *folder.parents] if (above / FILE).is_file()), None)


def parse(name: str, value: object, origin: str) -> Value:
    """Check one value against the table. Raises SettingsError.

    >>> parse("workers", "2", "--set")
    2
    """
    setting = BY_NAME.get(name)
    if setting is None:
        raise SettingsError(
            f"there is no setting {name!r}; {did_you_mean(name, BY_NAME)}", where=origin, fix="see: lw settings"
        )
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError  # noqa: TRY004 - told below, with where it was written
        typed = setting.type(value)
        if typed != value and not isinstance(value, str):  # 2.5 is no whole number, 5 is no text
            raise ValueError
        if isinstance(typed, float) and not math.isfinite(typed):
            raise ValueError
    except (ValueError, OverflowError):
        raise SettingsError(f"{name} = {value!r} is no {_noun(setting)}", where=origin, fix=_example(setting)) from None
    if setting.least is not None and not float(typed) >= setting.least:
        raise SettingsError(f"{name} = {typed} is below {setting.least:g}", where=origin, fix=_example(setting))
    if setting.choices and typed not in setting.choices:
        known = did_you_mean(str(typed), setting.choices)
        raise SettingsError(f"{name} cannot be {typed!r}; {known}", where=origin, fix=_example(setting))
    return typed


def _from_file(path: Path | None) -> Iterator[tuple[str, object, str]]:
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"the settings cannot be read: {error}", where=str(path), fix="write lines like: workers = 2"
        ) from None
    yield from ((name, value, str(path)) for name, value in values.items())


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    """Every variable that starts with the prefix is meant for us, so a misspelt one is an error."""
    for variable_name, value in environ.items():
        if variable_name.startswith(PREFIX):
            yield variable_name.removeprefix(PREFIX).lower(), value, variable_name


def _check_together(chosen: Mapping[str, Chosen]) -> None:
    lease, heartbeat = chosen["lease_seconds"], chosen["heartbeat_seconds"]
    if float(lease.value) < 2 * float(heartbeat.value):
        raise SettingsError(
            f"lease_seconds = {lease.value} leaves no room for heartbeat_seconds = {heartbeat.value}",
            where=f"{lease.origin}, {heartbeat.origin}",
            fix="make the lease at least twice the heartbeat, so that one late beat does not lose the run",
        )


def _noun(setting: Setting) -> str:
    return {str: "text", int: "whole number", float: "number"}[setting.type]


def _example(setting: Setting) -> str:
    return f"write a {_noun(setting)}, such as {setting.name} = {setting.default!r} ({setting.help})"
