"""The journal of labels: what came true, by prediction or by key, as often as it is told. The newest wins.

    <workspace>/labels/<loop>/<writer>.jsonl

Nothing is ever taken out of it but by `erasing`: the history of a label stays. Beside the label itself stand outcomes,
numbers with a name such as `revenue`. Of two labels the newest is the one that became true last, and of those that
became true at one moment the one told last; one that does not say when it became true did so when it was told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from loopwright.predictions import aside, journal

FOLDER = "labels"
Scalar = str | int | float | bool
Key = Mapping[str, Scalar]


class Label(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One label, as it lies in the journal: of a prediction, or of whatever row has this key."""

    label: Scalar
    at: datetime
    """When it was told."""
    origin: str
    prediction_id: str | None = None
    key: Key | None = None
    outcome: str | None = None
    """The name of a number beside the label, such as `revenue`. None: what the model predicts."""
    true_at: datetime | None = None
    """When it became true, where that was said."""

    @property
    def since(self) -> datetime:
        """When it became true, as far as it is known."""
        return self.true_at or self.at


_Ranked = tuple[tuple[datetime, datetime, int], Label]


@dataclass(frozen=True, slots=True)
class Labels:
    """The newest labels of a loop: those it predicts, or one outcome.

    >>> from datetime import UTC
    >>> labels, at = Labels(), datetime(2026, 1, 1, tzinfo=UTC)
    >>> labels.add(Label(label=True, at=at, origin="HTTP", key={"flight_id": 7.0}))
    >>> labels.of("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", {"flight_id": 7, "day": "2026-01-01"}).label
    True
    """

    outcome: str | None = None
    by_prediction: dict[str, _Ranked] = field(default_factory=dict)
    by_key: dict[tuple[str, ...], dict[str, _Ranked]] = field(default_factory=dict)
    """For each set of key columns: the key as text, and its label."""
    numbers: Iterator[int] = field(default_factory=count)

    def add(self, label: Label) -> None:
        """Labels are to be added in the order of writing. Those of other outcomes are passed by."""
        if label.outcome != self.outcome:
            return
        ranked = (label.since, label.at, next(self.numbers)), label
        if label.prediction_id is not None:
            _keep_newest(self.by_prediction, label.prediction_id, ranked)
        if label.key is not None:
            columns = tuple(sorted(label.key))
            _keep_newest(self.by_key.setdefault(columns, {}), key_text(label.key, columns), ranked)

    def of(self, prediction: str, key: Mapping[str, Any] | None) -> Label | None:
        """The newest for a prediction or the row it was made for."""
        found = [self.by_prediction.get(prediction)]
        if key:
            fitting = [(columns, named) for columns, named in self.by_key.items() if key.keys() >= set(columns)]
            found += [named.get(key_text(key, columns)) for columns, named in fitting]
        newest = max((one for one in found if one), key=lambda one: one[0], default=None)
        return newest[1] if newest else None


def newest(workspace: Path, loop: str, *, outcome: str | None = None, known_at: datetime | None = None) -> Labels:
    """Of all that was told, or by `known_at`. Those kept aside for predictions that were not there are among them."""
    labels = Labels(outcome)
    for label in told(workspace, loop):
        if known_at is None or label.at <= known_at:
            labels.add(label)
    return labels


def told(workspace: Path, loop: str) -> Iterator[Label]:
    """Every label of a loop in the order of writing within each file, and those kept aside, of any loop."""
    decoder = msgspec.json.Decoder(Label)
    for root, name in ((workspace / FOLDER, loop), (workspace / aside.FOLDER, aside.NAME)):
        for line in journal.lines(root, name):
            with suppress(msgspec.MsgspecError):  # torn by a power cut
                yield decoder.decode(line)


def history(workspace: Path, loop: str, prediction: str, key: Mapping[str, Any] | None) -> list[Label]:
    """All that was told of a prediction or the row it was made for, of any outcome, in the order of telling."""
    texts: dict[tuple[str, ...], str] = {}

    def is_meant(label: Label) -> bool:
        if label.key is None:
            return label.prediction_id == prediction
        columns = tuple(sorted(label.key))
        if key is None or not key.keys() >= set(columns):
            return False
        return key_text(label.key, columns) == texts.setdefault(columns, key_text(key, columns))

    found = [label for label in told(workspace, loop) if is_meant(label)]
    once = [label for number, label in enumerate(found) if label not in found[:number]]  # some were aside before
    return sorted(once, key=lambda label: label.at)


def _keep_newest(kept: dict[str, _Ranked], name: str, ranked: _Ranked) -> None:
    """Of two that became true and were told at one moment, the one written later."""
    if name not in kept or ranked[0] > kept[name][0]:
        kept[name] = ranked


def key_text(key: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """Equal for equal keys: 7 and 7.0 are one number, and a moment is one however it is written.

    >>> key_text({"id": 7.0}, ("id",)) == key_text({"id": 7}, ("id",)) != key_text({"id": "7"}, ("id",))
    True
    >>> key_text({"at": "2013-01-01T05:00:00+00:00"}, ("at",)) == key_text({"at": "2013-01-01 05:00Z"}, ("at",))
    True
    """
    return _ENCODER.encode([plain(key[column]) for column in columns]).decode()


_ENCODER = msgspec.json.Encoder()
_WHOLE = 2.0**53


def plain(value: Any) -> Any:
    """A value of a key in the one way in which it is compared."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _WHOLE else value
    if isinstance(value, str) and _is_dated(value):
        with suppress(ValueError, OverflowError):
            found = datetime.fromisoformat(value.upper())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value


def _is_dated(text: str) -> bool:
    """Whether it may be a moment as text: a day alone is none."""
    return len(text) > 10 and text[4] == "-" and text[7] == "-" and text[10] in "Tt "
