"""The journal of labels: what came true, by prediction or by key, as often as it is told. The newest wins.

<workspace>/labels/<loop>/<writer>.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from loopwright.predictions import journal

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


@dataclass(frozen=True, slots=True)
class Labels:
    """The newest labels of a loop.

    >>> from datetime import UTC
    >>> labels, at = Labels(), datetime(2026, 1, 1, tzinfo=UTC)
    >>> labels.add(Label(label=True, at=at, origin="HTTP", key={"flight_id": 7.0}))
    >>> labels.of("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", {"flight_id": 7, "day": "2026-01-01"}).label
    True
    """

    by_prediction: dict[str, Label] = field(default_factory=dict)
    by_key: dict[tuple[str, ...], dict[str, Label]] = field(default_factory=dict)
    """For each set of key columns: the key as text, and its label."""

    def add(self, label: Label) -> None:
        if label.prediction_id is not None:
            _keep_newest(self.by_prediction, label.prediction_id, label)
        if label.key is not None:
            columns = tuple(sorted(label.key))
            _keep_newest(self.by_key.setdefault(columns, {}), key_text(label.key, columns), label)

    def of(self, prediction: str, key: Mapping[str, Any] | None) -> Label | None:
        """The newest for a prediction or the row it was made for."""
        found = [self.by_prediction.get(prediction)]
        if key:
            fitting = [(columns, named) for columns, named in self.by_key.items() if key.keys() >= set(columns)]
            found += [named.get(key_text(key, columns)) for columns, named in fitting]
        return max((label for label in found if label), key=lambda label: label.at, default=None)


def newest(workspace: Path, loop: str) -> Labels:
    labels = Labels()
    for label in _read(workspace, loop):
        labels.add(label)
    return labels


def _read(workspace: Path, loop: str) -> Iterator[Label]:
    decoder = msgspec.json.Decoder(Label)
    for line in journal.lines(workspace / FOLDER, loop):
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError:  # torn by a power cut
            continue


def _keep_newest(kept: dict[str, Label], name: str, label: Label) -> None:
    """Of two told at one moment, the one written later."""
    if name not in kept or label.at >= kept[name].at:
        kept[name] = label


def key_text(key: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """Equal for equal keys: 7 and 7.0 are one number."""
    values = [key[column] for column in columns]
    return json.dumps([int(value) if isinstance(value, float) and value.is_integer() else value for value in values])
