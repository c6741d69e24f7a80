"""Statistics held against a schema: everything that can be said without looking at rows. Pure, and NumPy alone.

`examine` looks at the rows themselves and adds what only they tell. The schema decides what is told: each kind has
its usual severity, which the schema's `severity` changes; what was accepted is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches

import numpy as np

from loopwright.data.check_columns import check_column
from loopwright.data.check_growth import check_growth
from loopwright.data.check_texts import SOURCE, counted
from loopwright.data.check_times import check_times
from loopwright.data.contradictions import contradictions, moment
from loopwright.data.distances import absolute_difference, jensen_shannon, l_infinity, shares
from loopwright.data.duplicates import Copies
from loopwright.data.finding_kinds import decided, finding
from loopwright.data.findings import Finding, ranked
from loopwright.data.profile import Profile
from loopwright.data.schema import TRAINING, Column, Measure, Schema
from loopwright.data.schema_file import accept_kind, line, line_of
from loopwright.data.seen import Seen
from loopwright.data.shared import Shared, shared
from loopwright.data.sketch import NumberSketch
from loopwright.data.units import unit_jump

CELLS = 20
"""Numbers are compared in so many cells of about equal rows."""
_MEASURES: Mapping[Measure, Callable[[np.ndarray[tuple[int, ...], np.dtype[np.float64]]], float]] = {
    "l_infinity": l_infinity,
    "jensen_shannon": jensen_shannon,
    "absolute_difference": absolute_difference,
}


def check(
    profile: Profile | Seen,
    schema: Schema,
    *,
    environment: str = TRAINING,
    previous: Profile | Seen | None = None,
    training: Profile | Seen | None = None,
    now: datetime | None = None,
    equally_long: bool = False,
) -> list[Finding]:
    """What is wrong, errors first. `previous` is the span before, `training` what the model was trained on: each is
    needed only where the schema has limits on the difference. No row may be of a time after `now`.

    `equally_long` says that the span before is as long as this one. Otherwise, where the schema has a time, its rows
    are compared by what comes in a unit of time.

    >>> from loopwright.data.schema import Column
    >>> profile = Profile({"carrier": "string"})
    >>> profile.update({"carrier": ["UA", "ZZ", "UA"]})
    >>> carrier = Column(name="carrier", kind="string", missing=False, values=("UA",), closed=True)
    >>> found = check(profile, Schema(columns=(carrier,)))[0]
    >>> found.kind, found.values, found.accept
    ('value out of domain', (('ZZ', 1),), 'columns.carrier.values = ["UA", "ZZ"]')
    """
    seen = Seen.of(profile)
    found = contradictions(schema)
    if seen.rows == 0:
        fix = "append some: lw tables append TABLE FILE"
        return _settled([*found, finding("no rows", "there are no rows to look at", fix, number=0)], schema)
    before = None if previous is None else Seen.of(previous)
    trained = None if training is None else Seen.of(training)
    found += _presence(seen, schema, environment)
    found += _rows(seen, schema)
    found += _weights(seen, schema, environment)
    found += _together(seen, schema)
    for column in schema.columns:
        if column.name in seen.columns:
            told = check_column(seen.columns[column.name], column, seen.sketches[column.name])
            found += _of_key(told) if column.name in schema.key else told
    found += check_times(seen, schema, now)
    found += _spans(seen, schema, before, equally_long=equally_long)
    found += _compared(seen, schema, before, "drift_limits")
    found += _compared(seen, schema, trained, "skew_limits")
    return _settled(found, schema)


def _of_key(found: Sequence[Finding]) -> list[Finding]:
    """No schema accepts a key that is missing."""
    return [replace(one, accept="") if one.kind in ("all missing", "too many missing") else one for one in found]


def _settled(found: Sequence[Finding], schema: Schema) -> list[Finding]:
    return ranked(decided(found, schema))


def _presence(now: Seen, schema: Schema, environment: str) -> Iterator[Finding]:
    known = set(schema.names)
    beside = {*schema.key, schema.time, schema.weight}
    for column in schema.columns:
        here, expected = column.name in now.columns, environment not in column.absent_in
        if not here and column.required and expected:
            told = f"{column.name!r} is not there"
            new = _close(column.name, set(now.columns) - known)
            fix = f"bring it back{f'; is it {new!r} now?' if new else ''}"
            accept = line(column.name, "required", False)
            yield finding("missing column", told, fix, column=column.name, accept=accept)
        elif here and not expected:
            told = f"{column.name!r} is there, and not known in {environment}"
            accept = line(column.name, "absent_in", [one for one in column.absent_in if one != environment])
            yield finding("column not expected", told, "do not send it", column=column.name, accept=accept)
    for name in now.columns:
        if name in schema.never and name not in known and environment != TRAINING:
            told = f"{name!r} is there, and is declared as never known when a prediction is asked for"
            yield finding("column not expected", told, "do not send it", column=name)
        elif name not in known and name not in beside and name not in schema.never:
            seen = now.columns[name]
            told = f"{name!r} ({seen.kind}) is no column of the schema"
            accept = line_of(name, {"kind": seen.kind, "missing": seen.missing > 0})
            old = _close(name, known - set(now.columns))
            fix = f"{f'is it {old!r} by another name? ' if old else ''}if it is wanted, accept it in the schema"
            yield finding("new column", told, fix, column=name, accept=accept)


def _close(name: str, others: Iterable[str]) -> str | None:
    """What may be the same column by another name."""
    found = get_close_matches(name, sorted(others), n=1, cutoff=0.6)
    return found[0] if found else None


def _rows(now: Seen, schema: Schema) -> Iterator[Finding]:
    least, most = schema.least_rows, schema.most_rows
    if least is not None and now.rows < least:
        told = f"there {'is' if now.rows == 1 else 'are'} {counted(now.rows, 'row')}; the schema wants {least:,}"
        accept = line(None, "least_rows", now.rows)
        yield finding("too few rows", told, "append the rest", number=now.rows, limit=least, accept=accept)
    if most is not None and now.rows > most:
        told = f"there {'is' if now.rows == 1 else 'are'} {counted(now.rows, 'row')}; the limit is {most:,}"
        accept = line(None, "most_rows", now.rows)
        yield finding(
            "too many rows", told, "look for rows that came twice", number=now.rows, limit=most, accept=accept
        )


def _weights(now: Seen, schema: Schema, environment: str) -> Iterator[Finding]:
    name = schema.weight
    if name is None or environment != TRAINING:
        return
    seen = now.columns.get(name)
    if seen is None or seen.missing:
        what = "is not there" if seen is None else f"is missing in {counted(seen.missing, 'row')}"
        told = f"the weight {name!r} {what}"
        number = None if seen is None else float(seen.missing)
        yield finding("weights missing", told, "give every row a weight", column=name, number=number, limit=0)
    if seen is not None and (seen.kind not in ("integer", "float") or seen.negatives or seen.mean == 0):
        what = "are no numbers" if seen.kind not in ("integer", "float") else "add up to nothing"
        if seen.negatives:
            what = f"are below zero in {counted(seen.negatives, 'row')}"
        fix = "write weights that are numbers from 0"
        yield finding(
            "weights mismatched", f"the weights {name!r} {what}", fix, column=name, number=seen.negatives, limit=0
        )


def _together(now: Seen, schema: Schema) -> Iterator[Finding]:
    """What is told of several columns at once."""
    known = {column.name: column for column in schema.columns}
    copies: Copies = now.profile.copies
    for group in copies.groups:
        named = [name for name in group if name in known]
        accepted = any("copies" in known[name].accepted for name in named)
        if len(named) > 1 and not accepted and not all(now.columns[name].missing == now.rows for name in named):
            told = f"{' and '.join(map(repr, named))} are equal in every row"
            accept = accept_kind(known[named[1]], named[1], "copies")
            yield finding("copies", told, "keep one of them", column=named[1], accept=accept)
    for names in schema.same_length:
        lists = [name for name in names if name in now.columns and now.columns[name].kind == "list"]
        if len({_lengths(now, name) for name in lists}) > 1:
            told = f"the lists of {' and '.join(map(repr, lists))} are not equally long"
            accept = line(None, "same_length", [list(one) for one in schema.same_length if one != names])
            yield finding("list lengths differ", told, "find the rows that lost items", column=lists[0], accept=accept)


def _lengths(now: Seen, name: str) -> tuple[object, ...]:
    """What equal lengths in every row have in common."""
    seen, sketch = now.columns[name], now.sketches[name]
    cells = sketch.cells()
    return (seen.missing, seen.low, seen.high, seen.mean, cells.low.tobytes(), cells.tallies[:, 0].tobytes())


def _spans(now: Seen, schema: Schema, before: Seen | None, *, equally_long: bool) -> Iterator[Finding]:
    """Against the span before, whatever limits there are."""
    if before is None or before.rows == 0:
        return
    yield from check_growth(now, before, schema, equally_long=equally_long)
    for column in schema.columns:
        one, other = now.sketches.get(column.name), before.sketches.get(column.name)
        if one is None or other is None or one.kind != other.kind:
            continue
        if column.order == "rising":
            yield from _backwards(column, before, now)
        elif column.kind in ("integer", "float") and one.kind in ("integer", "float"):
            yield from _jump(column, other, one)


def _backwards(column: Column, before: Seen, now: Seen) -> Iterator[Finding]:
    one, other = now.columns[column.name], before.columns[column.name]
    start, last = moment(_text(one.low)), moment(_text(other.low))
    if start is not None and last is not None and start < last:
        told = f"{column.name!r} begins at {one.low}, earlier than the span before it ({other.low})"
        accept = accept_kind(column, column.name, "goes back in time")
        yield finding("goes back in time", told, "look for rows that came late", column=column.name, accept=accept)


def _jump(column: Column, before: NumberSketch, now: NumberSketch) -> Iterator[Finding]:
    jump = unit_jump(before, now)
    if jump is not None:
        offset = f", {jump.offset:+.3g}" if jump.offset else ""
        told = f"{column.name!r} is {jump.factor:.4g} times what it was in the span before{offset}: {jump.meaning}?"
        accept = accept_kind(column, column.name, "unit jump")
        fix = "turn it back into the unit that it was in, or train again on the new one"
        yield finding("unit jump", told, fix, column=column.name, number=jump.factor, limit=1, accept=accept)


def _compared(now: Seen, schema: Schema, other: Seen | None, field: str) -> Iterator[Finding]:
    limited = [column for column in schema.columns if getattr(column, field) and column.name in now.columns]
    kind, what = _SIDES[field]
    for column in limited:
        if other is None or column.name not in other.columns or other.rows == 0:
            told = f"{column.name!r} has a limit on how far it may be from {what}, which was not given"
            yield finding("comparison data missing", told, f"give {what}", column=column.name)
            continue
        one, two = now.sketches[column.name], other.sketches[column.name]
        if one.kind != two.kind:
            continue  # what `wrong type` tells
        both = shares(_counts(shared(two, one)))
        for measure, limit in getattr(column, field).items():
            found = _MEASURES[measure](both)
            if found > limit:
                told = f"{column.name!r} is {found:.4f} from {what} by {measure}; the limit is {limit:g}"
                accept = line(column.name, field, {**getattr(column, field), measure: round(found + 5e-5, 4)})
                yield finding(kind, told, SOURCE, column=column.name, number=found, limit=limit, accept=accept)


_SIDES = {
    "drift_limits": ("differs from the last span", "the span before"),
    "skew_limits": ("differs from training", "the training rows"),
}


def _counts(both: Shared) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Cells of about equal rows: on the finest ones, chance alone would be a distance."""
    counts = both.counts
    if both.low is not None and counts.shape[1] > CELLS:
        pooled = counts.sum(axis=0)
        group = (np.cumsum(pooled) - pooled) * CELLS // pooled.sum()
        counts = np.add.reduceat(counts, np.flatnonzero(np.diff(group, prepend=-1)), axis=1)
    return np.concatenate([counts, *(one[:, None] for one in both.apart.values())], axis=1)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
