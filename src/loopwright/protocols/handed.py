"""What a line that is handed in may say: what its bundle takes and answers, and when. No store is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from loopwright.core.clock import moment_of
from loopwright.data.schema import Schema
from loopwright.gateway.decode import Decoder, Problem, Problems, is_scalar
from loopwright.gateway.unit import LONGEST
from loopwright.predictions.concealing import TAG
from loopwright.predictions.journal import Line
from loopwright.transform.admission import Class
from loopwright.transform.predictor import class_text

APART = timedelta(days=1)
"""How far clocks may be apart: that of the edge from ours, and the moment of a line from that in its id."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""What a machine without a clock of its own begins with."""
_ROUNDING = 1e-3
"""Of probabilities, which are float32."""


class Contract:
    """Of one version: its columns, what names its rows, and its classes."""

    def __init__(self, schema: Schema, classes: Sequence[Class]) -> None:
        self._hidden = {one.name for one in schema.columns if TAG in one.tags}
        """What the edge leaves out, or has hashed."""
        seen = schema.only(one.name for one in schema.columns if one.name not in self._hidden)
        self._decoder = Decoder(replace(seen, key=(), time=None))
        self._key = {name for name in (*schema.key, schema.time) if name}
        self._classes = {class_text(one): one for one in classes}

    def problems(self, line: Line, number: int) -> Sequence[Problem]:
        """What is wrong with the values of a line, told by its number."""
        plain = {name: value for name, value in line.row.items() if name not in self._hidden}
        decoded = self._decoder.decode([plain], [number])
        found = list(decoded.listed) if isinstance(decoded, Problems) else []
        for name in self._hidden & line.row.keys():
            if not isinstance(line.row[name], str | None):
                found.append(Problem(number, name, None, "nothing, or the text of a hash: the column is hidden"))
        return found + [Problem(number, *wrong) for wrong in (self._wrong_key(line), self._wrong_answer(line)) if wrong]

    def _wrong_key(self, line: Line) -> tuple[str, None, str] | None:
        for name, value in (line.key or {}).items():
            if name not in self._key:
                known = ", ".join(sorted(self._key)) or "there are none"
                return "key", None, f"columns that name a row: {known}"[:1000]
            if not is_scalar(value):
                return "key", None, "text, numbers of 64 bits, true, false and null"
        return None

    def _wrong_answer(self, line: Line) -> tuple[str, None, str] | None:
        if not self._classes:
            if line.value is None or not math.isfinite(line.value) or line.probabilities is not None:
                return "value", None, "a number, and no label: the bundle has no classes"
            return None
        known = self._classes.values()
        if line.value is not None or not any(type(one) is type(line.label) and one == line.label for one in known):
            return "label", None, f"a class of the bundle: {', '.join(self._classes)}"[:1000]
        if line.probabilities is not None and not self._are_probabilities(line.probabilities):
            return "probabilities", None, "for each class of the bundle a number from 0 to 1"
        return None

    def _are_probabilities(self, given: Mapping[str, float]) -> bool:
        return given.keys() == self._classes.keys() and all(
            -_ROUNDING <= one <= 1 + _ROUNDING for one in given.values()
        )


def wrong_moment(line: Line, now: datetime) -> tuple[str, str] | None:
    """The field whose time cannot be, and what is expected there."""
    expected = "a time from 1970 to now, as the edge wrote it; check the clock of the edge"
    try:
        at, named = line.at.astimezone(UTC), moment_of(line.id[:26])
    except (OverflowError, ValueError):  # of no year that a calendar has
        return "at", expected
    if not _FIRST <= at <= now + APART:
        return "at", expected
    if abs(named - at) > APART:
        return "id", "an id made when the prediction was"
    if line.unit is not None and len(line.unit) > LONGEST:
        return "unit", f"at most {LONGEST:,} characters"
    return None
