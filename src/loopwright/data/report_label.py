"""What columns tell of the label, as lines of a terminal, as a piece of a page, and for machines: the most telling
column first."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from loopwright.data.association import Association, Group, Labelled
from loopwright.data.bars import number, share, short, when
from loopwright.data.printable import printable
from loopwright.data.summary import moment

HEADS = ("COLUMN", "BITS", "LOWEST", "HIGHEST")
_LONGEST = 40


def head(labelled: Labelled) -> str:
    """What the numbers are."""
    return printable(
        f"what tells of {labelled.label!r}: mutual information, and where the {labelled.of} is lowest and highest"
    )


def rows(labelled: Labelled, most: int) -> list[list[str]]:
    """At most so many columns: name, bits, lowest and highest group."""
    return [_row(name, labelled.columns[name], labelled) for name in ranked(labelled)[:most]]


def ranked(labelled: Labelled) -> list[str]:
    """Those with the most information first."""
    return sorted(labelled.columns, key=lambda name: (-labelled.columns[name].information, name))


def fragment(labelled: Labelled, most: int) -> Iterator[str]:
    """As a piece of a page."""
    heads = "".join(f"<th>{one.lower()}</th>" for one in HEADS)
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows(labelled, most))
    lines = "\n".join(f"<tr>{row}</tr>" for row in cells)
    yield f"<h2>Label</h2>\n<p>{html.escape(head(labelled))}</p>\n<table><tr>{heads}</tr>\n{lines}\n</table>"


def to_dict(labelled: Labelled) -> dict[str, Any]:
    """All groups of all columns."""
    columns = [_plain(name, labelled.columns[name]) for name in ranked(labelled)]
    return {"label": labelled.label, "of": labelled.of, "columns": columns}


def _plain(name: str, one: Association) -> dict[str, Any]:
    told = {"name": name, **asdict(one)}
    for group in told["groups"]:
        group |= {end: _end(group[end], one) for end in ("low", "high")}
    return told


def _end(at: float | None, one: Association) -> float | str | None:
    """Of a group; of times as RFC 3339 text."""
    return moment(int(at)) if one.kind == "time" and at is not None else at


def _row(name: str, one: Association, labelled: Labelled) -> list[str]:
    groups = sorted(one.groups, key=lambda group: group.mean)
    ends = [_group(groups[at], one, labelled) if groups else "" for at in (0, -1)]
    return [short(name, _LONGEST), f"{one.information:.4f}", *ends]


def _group(group: Group, one: Association, labelled: Labelled) -> str:
    ends = [_end(at, one) for at in (group.low, group.high)]
    told = [when(at) if one.kind == "time" else number(at) for at in ends]
    where = group.value if group.value is not None else " to ".join(told)
    mean = share(group.mean, 1) if labelled.of != "mean" else number(group.mean)
    return f"{mean} at {short(where, _LONGEST)}"
