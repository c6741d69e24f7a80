"""How things read in a terminal: tables, numbers, lengths, sizes, times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from loopwright.data.printable import printable

_COLOURS = {
    "succeeded": "green",
    "ran": "green",
    "reused": "cyan",
    "running": "blue",
    "waiting": "yellow",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "rejected": "magenta",
    "failed": "red",
}


def columns(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Rows aligned; colour codes take no room.

    >>> print(columns([["load", "ran"], ["transform", "reused"]]))
    load       ran
    transform  reused
    """
    table = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    if not table:
        return ""
    widths = [max(len(click.unstyle(row[i])) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def status(word: str) -> str:
    return click.style(word, fg=_COLOURS.get(word))


def seconds(value: float | None) -> str:
    """
    >>> seconds(0.0123), seconds(75), seconds(4000), seconds(None)
    ('0.01 s', '1 min 15 s', '1 h 06 min', '')
    """
    if value is None:
        return ""
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def size(value: int | None) -> str:
    """
    >>> size(512), size(1536), size(3 << 30), size(None)
    ('512 B', '1.5 KiB', '3.0 GiB', '')
    """
    if value is None:
        return ""
    if value < 1024:
        return f"{value} B"
    amount = float(value)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def details(data: Mapping[str, Any], names: Iterable[str], most: int = 40) -> str:
    """Those of an event's data that are there and not empty, each cut to so many characters.

    >>> details({"step": "train", "drifted": [], "suspected": ["hour", "pages"]}, ["drifted", "suspected"])
    'suspected=hour, pages'
    """
    told = {name: data[name] for name in names if data.get(name) not in (None, [])}
    listed = {name: ", ".join(map(str, one)) if isinstance(one, list) else str(one) for name, one in told.items()}
    shown = {name: printable(one) for name, one in listed.items()}
    return " ".join(f"{name}={one if len(one) <= most else one[:most]}" for name, one in shown.items())


def moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
