"""Small histograms: the bars of a column, the same ones for every span, and how numbers and texts read beside them.

Bars of numbers are equally wide. A far outlier would leave one bar for all others, so they reach a quarter beyond the
stretch from the 1st to the 99th hundredth at most, and what lies farther out counts to the outer ones.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from loopwright.data.histogram import Cells
from loopwright.data.printable import printable
from loopwright.data.seen import Seen
from loopwright.data.sketch import BooleanSketch, NumberSketch
from loopwright.data.summary import moment

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = ".:-=+*#@"
"""Where the terminal's encoding has no blocks."""
_ENDS = np.array([0.01, 0.99])
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Rows by bar and span. A span that has no such column, or one of another kind, has None."""

    names: tuple[str, ...]
    counts: tuple[tuple[float, ...] | None, ...]
    has_order: bool
    """Bars of numbers, times and lengths stand along a line; of values, the most frequent first."""


def bars(name: str, spans: Sequence[Seen], most: int = 20) -> Bars:
    """Of a column, at most so many. Its kind is that of the first span that has it.

    >>> from loopwright.data.profile import Profile
    >>> profile = Profile({"hour": "integer"})
    >>> profile.update({"hour": [6, 6, 7, 9]})
    >>> bars("hour", [Seen.of(profile)])
    Bars(names=('6', '7', '8', '9'), counts=((2.0, 1.0, 0.0, 1.0),), has_order=True)
    """
    found = [one.sketches.get(name) for one in spans]
    kind = next(sketch.kind for sketch in found if sketch is not None)
    alike = [sketch if sketch is not None and sketch.kind == kind else None for sketch in found]
    if kind == "boolean":
        return Bars(names=("false", "true"), counts=tuple(map(_of_booleans, alike)), has_order=False)
    if kind == "string":
        return _of_values(
            [None if sketch is None else one for sketch, one in zip(alike, spans, strict=True)], name, most
        )
    return _of_numbers(alike, kind, most)


def blocks(counts: Iterable[float] | None, signs: str = BLOCKS) -> str:
    """As characters: the highest bar is full, one without rows is blank.

    >>> blocks([1, 4, 8, 2, 0, 1])
    '▁▄█▂ ▁'
    """
    listed = list(counts or ())
    most = max(listed, default=0.0)
    if most <= 0:
        return ""
    return "".join(
        " " if one <= 0 else signs[min(math.ceil(one / most * len(signs)), len(signs)) - 1] for one in listed
    )


def number(value: float | str | None) -> str:
    """
    >>> number(1007.4), number(0.0312345), number(3), number(12500000.0), number(None)
    ('1,007', '0.03123', '3', '12,500,000', '')
    """
    if value is None or isinstance(value, str):
        return printable(value or "")
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 1e15 else f"{value:.4g}"
    size = abs(value)
    return f"{value:,.0f}" if 1000 <= size < 1e15 else f"{value:.4g}"


def share(part: float, whole: float) -> str:
    """
    >>> share(1, 3), share(1, 100_000), share(0, 3), share(99_999, 100_000)
    ('33.3%', '<0.1%', '0%', '>99.9%')
    """
    found = part / whole if whole else 0.0
    if found in (0, 1):
        return f"{found:.0%}"
    return "<0.1%" if found < 0.001 else ">99.9%" if found > 0.999 else f"{found:.1%}"


def when(text: str | float | None) -> str:
    """A time of RFC 3339 to the minute; a midnight as a date.

    >>> when("2013-01-01T00:00:00+00:00"), when("2013-01-01T06:05:00+00:00")
    ('2013-01-01', '2013-01-01 06:05')
    """
    day, _, hours = str(text or "")[:16].partition("T")
    return day if hours == "00:00" else f"{day} {hours}".strip()


def short(text: str, most: int) -> str:
    """Printable, and at most so wide.

    >>> short("Charlotte", 6), short("日本語", 4)
    ('Charl…', '日…')
    """
    shown = printable(text[: 2 * most + 2])
    if width(shown) <= most and len(text) <= 2 * most + 2:
        return shown
    while width(shown) > most - 1:
        shown = shown[:-1]
    return f"{shown}…"


def width(text: str) -> int:
    """In columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def _of_booleans(sketch: BooleanSketch | None) -> tuple[float, ...] | None:
    return None if sketch is None else tuple(map(float, sketch.tallies[:, 0].tolist()))


def _of_values(spans: Sequence[Seen | None], name: str, most: int) -> Bars:
    """The values that are most frequent over all spans."""
    counted = [None if one is None else (one.columns[name].values or {}, max(one.rows, 1)) for one in spans]
    totals: dict[str, float] = {}
    for one in counted:
        for value, count in () if one is None else one[0].items():
            totals[value] = totals.get(value, 0.0) + count / (1 if one is None else one[1])
    names = sorted(totals, key=lambda value: (-totals[value], value))[:most]
    counts = tuple(None if one is None else tuple(float(one[0].get(value, 0)) for value in names) for one in counted)
    return Bars(names=tuple(names), counts=counts, has_order=False)


def _of_numbers(sketches: Sequence[NumberSketch | None], kind: str, most: int) -> Bars:
    cells = [None if one is None else one.cells() for one in sketches]
    filled = [one for one in cells if one is not None and len(one.low)]
    if not filled:
        return Bars(names=(), counts=tuple(None if one is None else () for one in cells), has_order=True)
    edges = _edges(filled, is_whole=kind in ("integer", "list"), most=most)
    names = _names(edges, kind)
    return Bars(
        names=names, counts=tuple(None if one is None else _counts(one, edges) for one in cells), has_order=True
    )


def _edges(cells: Sequence[Cells], *, is_whole: bool, most: int) -> list[float]:
    low, high = min(float(one.low[0]) for one in cells), max(float(one.high[-1]) for one in cells)
    ends = np.array([one.quantiles(_ENDS) for one in cells])
    first, last = float(ends[:, 0].min()), float(ends[:, 1].max())
    beyond = (last / 4 - first / 4) or math.inf
    low, high = max(low, first - beyond), min(high, last + beyond)
    if is_whole and high - low < 2**52:
        low, high = math.floor(low), math.ceil(high)
        step = -(-(high - low + 1) // most)
        return [low - 0.5 + step * at for at in range(-(-(high - low + 1) // step) + 1)]
    if low == high:
        return [low, math.nextafter(high, math.inf)]
    return [low * (1 - at / most) + high * (at / most) for at in range(most + 1)]


def _counts(cells: Cells, edges: Sequence[float]) -> tuple[float, ...]:
    """What lies beyond the edges counts to the outer bars."""
    if not len(cells.low):
        return (0.0,) * (len(edges) - 1)
    upto = cells.below(np.array(edges))
    upto[0], upto[-1] = 0.0, cells.tallies[:, 0].sum()
    return tuple(np.round(np.diff(upto), 2).tolist())


def _names(edges: Sequence[float], kind: str) -> tuple[str, ...]:
    pairs: Sequence[tuple[Any, Any]] = list(pairwise(edges))
    if kind == "time":
        days = edges[-1] - edges[0] >= len(pairs) * _DAY
        return tuple(" to ".join(when(moment(int(one)))[: 10 if days else 16] for one in pair) for pair in pairs)
    if kind in ("integer", "list") and edges[-1] - edges[0] < 2**52:
        whole = [(math.ceil(low), math.floor(high)) for low, high in pairs]
        return tuple(number(low) if low == high else f"{number(low)} to {number(high)}" for low, high in whole)
    shown = [(number(low), number(high)) for low, high in pairs]
    return tuple(low if low == high else f"{low} to {high}" for low, high in shown)
