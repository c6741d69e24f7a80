"""Figures: samples with a target, and how they stand beside a floor. Pure, but for `show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

_UNITS = {
    "s": 1.0,
    "/s": 1.0,
    "rows/s": 1.0,
    "requests": 1.0,
    "swaps": 1.0,
    "ms": 1e3,
    "µs": 1e6,
    "ns": 1e9,
    "MB": 1e-6,
    "%": 100.0,
    "": 1.0,
}


class Limits(TypedDict, total=False):
    """What a figure may be held to."""

    target: float
    least: float
    most_ratio: float
    least_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line: samples in seconds, bytes or shares, told in `unit`."""

    what: str
    samples: Sequence[float]
    unit: str = "s"
    target: float | None = None
    """At most this, in `unit`."""
    least: float | None = None
    """At least this, in `unit`."""
    most_ratio: float | None = None
    """At most so many times the base."""
    least_ratio: float | None = None
    failure: str = ""
    """Why there is no sample."""

    @property
    def middle(self) -> float:
        return median(self.samples)

    def row(self, base: Figure | None) -> list[str]:
        if self.failure:
            return [self.what, "not measured", "", "", "", ""]
        ratio = self.middle / base.middle if base and base.samples and base is not self else None
        spread = f"{_told(min(self.samples), self.unit)} to {_told(max(self.samples), self.unit)}"
        middle = f"{_told(self.middle, self.unit)} {self.unit}"
        return [self.what, middle, spread, self._target(), f"{ratio:.2f}" if ratio else "", self._verdict(ratio)]

    def _target(self) -> str:
        limit, is_most, of = self._limit()
        return "" if limit is None else f"at {'most' if is_most else 'least'} {limit:g} {of}"

    def _verdict(self, ratio: float | None) -> str:
        limit, is_most, of = self._limit()
        reached = ratio if of == "times" else self.middle * _UNITS[self.unit]
        if limit is None or reached is None:
            return ""
        return "met" if (reached <= limit if is_most else reached >= limit) else "MISSED"

    def _limit(self) -> tuple[float | None, bool, str]:
        """How much, whether at most so much, and of what."""
        kinds = (
            (self.target, True, self.unit),
            (self.least, False, self.unit),
            (self.most_ratio, True, "times"),
            (self.least_ratio, False, "times"),
        )
        return next((kind for kind in kinds if kind[0] is not None), (None, True, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures that are told as times of one of them, the base."""

    title: str
    figures: Sequence[Figure]
    base: Figure | None = None


def show(section: Section) -> None:
    """Print a Markdown table that also reads well on a terminal."""
    beside = f"times {section.base.what}" if section.base else "ratio"
    head = [section.title, "median", "min to max", "target", beside, ""]
    rows = [head, *(figure.row(section.base) for figure in section.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print("".join(f"\n{figure.what}: {figure.failure}" for figure in section.figures if figure.failure), flush=True)


def _told(value: float, unit: str) -> str:
    number = value * _UNITS[unit]
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}" if number < 10 else f"{number:.1f}"
