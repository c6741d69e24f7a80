"""What a name on the command line means: a table's rows, files, the rows a version was trained on, or those that a
loop's versions were asked about. No commands."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright import system
from loopwright.cli import words
from loopwright.errors import PredictionNotFound, StoreUnavailable, TableNotFound, UsageError, did_you_mean
from loopwright.system import System

if TYPE_CHECKING:
    from loopwright.data.drifted import Drift
    from loopwright.data.schema import Schema
    from loopwright.data.spans import Looked
    from loopwright.data.table import Table

_TABLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[a-z][a-z0-9_-]{0,63}:[A-Za-z0-9_-]+")
_SERVED = ":predictions"
"""Behind the name of a loop."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A source as it was named, and which of its rows."""

    name: str
    since: datetime | None
    until: datetime | None
    version: int | None

    @property
    def has_span(self) -> bool:
        return (self.since, self.until, self.version) != (None, None, None)

    @property
    def told(self) -> str:
        """As the report names it."""
        parts = [f"version {self.version}"] if self.version is not None else []
        parts += [f"since {self.since:%Y-%m-%d %H:%M}".removesuffix(" 00:00")] if self.since else []
        parts += [f"until {self.until:%Y-%m-%d %H:%M}".removesuffix(" 00:00")] if self.until else []
        return f"{self.name} ({', '.join(parts)})" if parts else self.name


@contextmanager
def desk(project: Path | None, flags: tuple[str, ...]) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="loopwright-") as room:
        yield Desk(project, flags, Path(room))


class Desk:
    """Finds what names mean. A workspace is opened only where one is needed: files can be looked at without."""

    def __init__(self, project: Path | None, flags: tuple[str, ...], room: Path) -> None:
        self._project, self._flags, self._room = project, flags, room
        self._inputs: dict[str, Schema] = {}
        """The contract that a window was read by."""

    def look(self, wanted: Asked, schema: Schema | None = None) -> Looked:
        """Raises UsageError, NotFound and DataError for what is not there or cannot be read."""
        from loopwright.data import spans

        if self.is_table(wanted.name):
            rows = self._opened.tables.scan(wanted.name, version=wanted.version, since=wanted.since, until=wanted.until)
            return spans.of_rows(wanted.told, rows)
        if self.is_served(wanted.name):
            return self._served(wanted)
        if wanted.has_span:
            raise UsageError(
                f"{wanted.name!r} is no table: it has no versions, and no time to cut spans by",
                fix="leave --since, --until and --version out, or append the rows to a table: lw tables append",
            )
        if self.is_version(wanted.name):
            return self._trained(wanted.name)
        self._refuse_unknown(wanted.name)
        return spans.of_files(wanted.name, Path(tempfile.mkdtemp(dir=self._room)), schema)

    def beside(self, against: str | None, given: dict[str, Any], schema: Schema | None = None) -> Looked | None:
        """What is compared with, if anything is."""
        if against is not None:
            return self.look(asked(against, given, "against_"), schema)
        for option in ("since", "until", "version"):
            if given[f"against_{option}"] is not None:
                raise UsageError(
                    f"--against-{option} without --against", fix="say what to compare with: --against SOURCE"
                )
        return None

    def is_table(self, name: str) -> bool:
        return bool(_TABLE.fullmatch(name)) and self._has_workspace and name in self._opened.tables.names()

    def is_version(self, name: str | None) -> bool:
        return name is not None and self._is_of_a_loop(name) and not name.endswith(_SERVED)

    def is_served(self, name: str | None) -> bool:
        """What a loop's versions were asked about: LOOP:predictions."""
        return name is not None and self._is_of_a_loop(name) and name.endswith(_SERVED)

    def declared(self, name: str) -> Table | None:
        return self._opened.tables.declared(name) if self.is_table(name) else None

    def schema(
        self, source: str, looked: Looked, against: str | None, other: Looked | None, given: Schema | None
    ) -> Schema:
        """What was given, of a serving window the model's inputs. Else the contract of the version compared with, else
        that of the window, else what the other rows look like, else what these do."""
        from loopwright.data.infer import infer
        from loopwright.data.spans import plain_schema

        if given is not None:
            return self._of_inputs(given, looked) if self.is_served(source) else given
        if against is not None and self.is_version(against):
            contract = self._contract(against)
            beside = [contract.label] if contract.label and contract.label not in contract.names else []
            return replace(contract, never=(*contract.never, *beside))
        if self.is_served(source):
            return self._inputs[source]
        if against is not None and other is not None:
            return infer(other.span.seen, self.declared(against) or self.declared(source))
        return plain_schema(looked.span.seen, self.declared(source))

    def roles(self, source: str, against: str, other: Looked) -> Schema | None:
        """By which a table's time and key are left out of a comparison."""
        from loopwright.data.infer import infer

        if self.is_version(against):
            return self._contract(against)
        if self.is_served(source):
            return self._inputs[source]
        table = self.declared(source) or self.declared(against)
        return infer(other.span.seen, table) if table is not None and table.time is not None else None

    def is_skew(self, source: str, against: str | None) -> bool:
        """Whether the two are what was trained on and something later, or elsewhere: no span and the one before."""
        return self.is_version(against) or (self.is_served(source) and not self.is_served(against))

    def compared(
        self, looked: Looked, other: Looked, schema: Schema | None, *, source: str, against: str | None
    ) -> Drift:
        from loopwright.data.drift import drift, moving_on
        from loopwright.data.skew import skew

        now, before = looked.span.seen.profile, other.span.seen.profile
        if self.is_skew(source, against):
            return skew(before, now, schema=schema)
        knows_time = schema is not None and schema.time is not None
        return drift(before, now, schema=schema, leave_out=None if knows_time else moving_on(before, None))

    def _of_inputs(self, given: Schema, looked: Looked) -> Schema:
        """A table's schema as it holds for what a model takes: no key, no label, nothing that was not asked for."""
        return replace(given.only(name for name in given.names if name in looked.span.seen.columns), key=(), time=None)

    def _is_of_a_loop(self, name: str) -> bool:
        return bool(_VERSION.fullmatch(name)) and not Path(name).exists()

    @cached_property
    def _opened(self) -> System:
        return words.opened(self._project, self._flags)

    @cached_property
    def _has_workspace(self) -> bool:
        try:
            return self._opened is not None
        except StoreUnavailable:
            if self._project is not None or self._flags:
                raise
            return False

    def _refuse_unknown(self, name: str) -> None:
        """What looks like a table's name, and is neither a table nor a folder."""
        if not _TABLE.fullmatch(name) or Path(name).exists():
            return
        known = self._opened.tables.names() if self._has_workspace else []
        where = str(self._opened.workspace) if self._has_workspace else str(system.find_project(Path.cwd()))
        fix = f"{did_you_mean(name, known)}; a file is named with its ending: {name}.csv"
        raise TableNotFound(f"there is no table and no file {name!r}", where=where, fix=fix)

    def _trained(self, name: str) -> Looked:
        """The rows a version was trained on, as its bundle describes them."""
        from loopwright.data.report import Span
        from loopwright.data.spans import Looked
        from loopwright.data.statistics import Statistics

        folder = self._bundle(name)
        file = folder / "statistics.json"
        if not file.exists():
            raise UsageError(
                f"the bundle of {name} has no statistics of its training rows", fix="compare with a table or a file"
            )
        profile = Statistics.from_json(file.read_text(encoding="utf-8")).profile()
        return Looked(span=Span.of(f"training rows of {name}", profile), rows=None)

    def _served(self, wanted: Asked) -> Looked:
        """The rows that were asked about in a span, of the versions that take what the newest of them takes."""
        from loopwright.data import spans
        from loopwright.predictions import reading, window

        loop, span = wanted.name.removesuffix(_SERVED), {"since": wanted.since, "until": wanted.until}
        counts = reading.counts(self._opened.workspace, loop, **span)
        named = [wanted.version] if wanted.version is not None else sorted(counts)
        if not any(counts[number] for number in named):
            raise PredictionNotFound(
                f"there are no predictions of {wanted.told}",
                where=str(self._opened.workspace),
                fix=self._served_elsewhere(loop),
            )
        contracts = {number: window.seen(self._contract(f"{loop}:{number}")) for number in named}
        contract = self._inputs[wanted.name] = contracts[max(named)]
        alike = [number for number in named if window.same_inputs(contract, contracts[number])]
        source = window.inputs(self._opened.workspace, loop, contract, alike, **span)
        looked = spans.of_source(source, Path(tempfile.mkdtemp(dir=self._room)))
        others = sum(counts[number] for number in named) - sum(counts[number] for number in alike)
        some = "1 row" if others == 1 else f"{others:,} rows"
        notes = [f"left out: {some} of versions that took other columns"] if others else []
        return replace(looked, span=replace(looked.span, name=wanted.told, notes=(*looked.span.notes, *notes)))

    def _served_elsewhere(self, loop: str) -> str:
        from loopwright.predictions import journal

        known = journal.loops(self._opened.workspace / journal.FOLDER)
        if loop in known:
            return "name another span: --since, --until, --version"
        return did_you_mean(loop, known) if known else "serve a version and ask it for some: lw serve"

    def _contract(self, name: str) -> Schema:
        from loopwright.data.schema import Schema
        from loopwright.registry import names

        version = names.find(self._opened.stores, name)
        with self._opened.stores.blobs.local(version.files["schema.json"]) as file:
            return Schema.from_json(Path(file).read_text(encoding="utf-8"))

    def _bundle(self, name: str) -> Path:
        """Verified."""
        from loopwright.registry import fetch, names

        version = names.find(self._opened.stores, name)
        return fetch.fetch(self._opened.stores, version, self._room)


def asked(name: str, given: dict[str, Any], prefix: str = "") -> Asked:
    return Asked(
        name=name,
        since=_moment(given[f"{prefix}since"], f"--{prefix}since".replace("_", "-")),
        until=_moment(given[f"{prefix}until"], f"--{prefix}until".replace("_", "-")),
        version=given[f"{prefix}version"],
    )


def _moment(text: str | None, option: str) -> datetime | None:
    """In UTC, unless it says otherwise."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", where=option, fix=f"write {option} 2013-06-01, or 2013-06-01T06:00"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
