"""Whether the challenger was trained on rows unlike those it is asked about, and the champion was not.

The rows asked are the same for both, whoever answers, so what moves in the world moves against both and tells nothing
here. A column that lies elsewhere against the challenger's training rows alone was made otherwise there (kilometres for
miles, another code for the same place). No outcome need show it, and no more traffic can mend it. Two windows in a row
must say so, each by the rules of data drift. Times, keys, the label and what is tagged `pii` are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.errors import DataError, NotFound
from loopwright.rollout.log import Log, RowsPlace

if TYPE_CHECKING:
    from loopwright.data.against import Trained
    from loopwright.data.drifted import Drift
    from loopwright.data.profile import Profile
    from loopwright.predictions.journal import Line

Row = Mapping[str, Any]
WINDOW = 500
"""Rows asked that are compared at once."""
LEAST, MARGIN = 0.25, 0.2
"""Jensen-Shannon, of at most 1: the effect against the challenger's rows, and by how much it is beyond that against the
champion's, which is below the first. Versions trained some months apart differ by less."""
MOST = 1_000
"""Lines of one pass that are read with their rows, so that looking costs little however much is new."""
_FILES = frozenset({"statistics.json", "schema.json"})
_NUMBERS = {int, float, type(None)}
_TYPES: Mapping[str, set[type]] = {
    "integer": _NUMBERS,
    "float": _NUMBERS,
    "boolean": {bool, type(None)},
    "string": {str, type(None)},
}
Both = Callable[[], "tuple[Trained, Trained] | None"]


class Asked:
    """The rows asked of one release, a window at a time. `trained` gives the challenger's and the champion's."""

    def __init__(self, log: Log, place: RowsPlace, trained: Both, is_meant: Callable[[Line], bool]) -> None:
        self._log = log
        self.place = place
        self._trained = trained
        self._is_meant = is_meant
        self._known: tuple[Trained, Trained] | None = None
        self._held: list[Row] = []

    def resume(self) -> None:
        """Hold again what was held of a window that is not full. Raises what the log does."""
        wanted, rows, cursor = self.place.past + self.place.held, list[Row](), self.place.begun
        while self.place.held and len(rows) < wanted:
            found = self._log.read(cursor, MOST, rows=True)
            rows += self._rows(found.lines)
            cursor = found.cursor
            if not found.is_more:
                break
        self._held = rows[self.place.past : wanted]

    def take(self, lines: Sequence[Line], cursor: str) -> str:
        """What two windows in a row say, in words; else empty. `cursor` is where the lines were read from."""
        rows, told, used = self._rows(lines), "", 0
        place = self.place
        while used < len(rows):
            if not self._held:
                place = msgspec.structs.replace(place, begun=cursor, past=used)
            part = rows[used : used + WINDOW - len(self._held)]
            self._held += part
            used += len(part)
            if len(self._held) == WINDOW:
                found = self._look(self._held)
                told = "; ".join(found[name] for name in found if name in place.suspected) or told
                place = msgspec.structs.replace(place, suspected=tuple(found))
                self._held = []
        self.place = msgspec.structs.replace(place, held=len(self._held))
        return told

    def _rows(self, lines: Sequence[Line]) -> list[Row]:
        return [line.row for line in lines if not line.shadow and self._is_meant(line)]

    def _look(self, rows: Sequence[Row]) -> dict[str, str]:
        self._known = self._known or self._trained()
        return unlike(rows, *self._known) if self._known else {}


def unlike(rows: Sequence[Row], challenger: Trained, champion: Trained) -> dict[str, str]:
    """Columns of these rows that are skewed against the challenger alone: in words, by name."""
    names = _columns(challenger) & _columns(champion)
    kinds = [{name: one.profile.kinds[name] for name in sorted(names)} for one in (challenger, champion)]
    now = _profile(rows, kinds[0])
    against = _drift(challenger, now, names)
    beside = _drift(champion, now if kinds[1] == kinds[0] else _profile(rows, kinds[1]), names)
    found = {}
    for column in against.suspected:
        other = beside.column(column.name)
        if not other.reason and other.effect < LEAST <= column.effect and column.effect - other.effect >= MARGIN:
            found[column.name] = (
                f"{column.name}: {column.effect:.2f} against {challenger.name}'s training rows, "
                f"{other.effect:.2f} against {champion.name}'s (Jensen-Shannon, {len(rows)} rows asked)"
            )
    return found


def both(stores: Stores, challenger: Version, champion: Version | None) -> Both | None:
    """None where a bundle does not tell what its version was trained on."""
    if champion is None or not all(set(one.files) >= _FILES for one in (challenger, champion)):
        return None

    def read() -> tuple[Trained, Trained] | None:
        try:
            return _trained(stores, challenger), _trained(stores, champion)
        except (DataError, NotFound):  # of another Loopwright
            return None

    return read


def _trained(stores: Stores, version: Version) -> Trained:
    from loopwright.data.against import Trained
    from loopwright.data.schema import Schema
    from loopwright.data.statistics import Statistics

    texts = {name: stores.blobs.read(version.files[name]).decode() for name in _FILES}
    profile = Statistics.from_json(texts["statistics.json"]).profile().at_rest()
    return Trained(name=f"v{version.number}", profile=profile, schema=Schema.from_json(texts["schema.json"]))


def _columns(trained: Trained) -> set[str]:
    """The features that are looked at."""
    schema, kinds = trained.schema, trained.profile.kinds
    aside = {*schema.key, *schema.pii, *schema.never, schema.time, schema.label, schema.weight}
    aside |= {column.name for column in schema.columns if "pii" in column.tags}
    return {name for name in schema.names if kinds.get(name) in _TYPES} - aside


def _profile(rows: Sequence[Row], kinds: Mapping[str, Any]) -> Profile:
    """Without the columns that hold values of another type, which the contract refuses."""
    from loopwright.data.profile import Profile

    values = {name: [row.get(name) for row in rows] for name in kinds}
    fits = {name: found for name, found in values.items() if set(map(type, found)) <= _TYPES[kinds[name]]}
    made = Profile({name: kinds[name] for name in fits})
    made.update(fits)
    made.flush()
    return made


def _drift(trained: Trained, now: Profile, names: set[str]) -> Drift:
    from loopwright.data.drift import Limits, compare
    from loopwright.data.shared import shared, with_one_missing

    return compare(
        trained.profile,
        now,
        limits=Limits(least_rows=WINDOW),
        leave_out=trained.profile.kinds.keys() - names,
        look=lambda one, other: with_one_missing(shared(one, other)),
    )
