"""Figures: samples with a target, and how they stand beside a floor. Pure, but for `show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_UNITS = {"s": (1.0, "s"), "ms": (1e3, "ms"), "MB": (1e-6, "MB")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line: samples in seconds or bytes, told in `unit`."""

    what: str
    samples: Sequence[float]
    unit: str = "s"
    target: float | None = None
    """At most this, in `unit`."""
    most_ratio: float | None = None
    """At most so many times the base."""
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
        if self.target is not None:
            return f"at most {self.target:g} {self.unit}"
        return f"at most {self.most_ratio:g} times" if self.most_ratio is not None else ""

    def _verdict(self, ratio: float | None) -> str:
        if self.target is not None:
            return "met" if self.middle * _UNITS[self.unit][0] <= self.target else "MISSED"
        if self.most_ratio is not None and ratio is not None:
            return "met" if ratio <= self.most_ratio else "MISSED"
        return ""


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
    number = value * _UNITS[unit][0]
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}" if number < 10 else f"{number:.1f}"
