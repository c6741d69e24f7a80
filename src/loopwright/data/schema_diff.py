"""What changed between two schemas, in words: for reviews, and as the text of the event that a change is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loopwright.data.schema import Column, Schema

_WORDS: Mapping[str, str] = {
    "missing": "null allowed", "most_missing": "share that may be missing", "values": "values", "low": "lowest seen",
    "high": "highest seen", "least": "least allowed", "most": "most allowed", "closed": "other values a finding",
    "most_outside": "share that may lie outside the values",
    "shortest": "shortest allowed", "longest": "longest allowed",
    "least_distinct": "fewest different values", "most_distinct": "most different values", "nan": "NaN allowed",
    "infinite": "infinity allowed", "least_present": "fewest values present", "least_rows": "fewest rows",
    "most_rows": "most rows", "least_growth": "least growth", "most_growth": "most growth",
    "absent_in": "environments without it", "drift": "drift told from", "skew": "skew told from",
}  # fmt: skip
_SEEN = ("low", "high")
_NOTHING: tuple[Any, ...] = (None, (), {}, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Of one field, or of a column as a whole: then `field` is `added`, `removed` or `order`."""

    column: str | None
    field: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        what = _WORDS.get(self.field, self.field.replace("_", " "))
        where = f"{self.column}: " if self.column is not None else ""
        match self.field:
            case "added":
                return f"{self.column} is new ({self.after})"
            case "removed":
                return f"{self.column} is gone ({self.before})"
            case "order":
                return "the columns stand in another order" if self.column is None else f"{where}{_order(self.after)}"
            case "acceptances":
                return (
                    f"accepted by {self.after[-1].who}: {self.after[-1].line}" if self.after else "acceptances are gone"
                )
            case "values" if isinstance(self.before, tuple) and isinstance(self.after, tuple):
                return f"{where}values {_gained_and_lost(self.before, self.after)}"
        return f"{where}{what} was {_told(self.before)}, is {_told(self.after)}"


def diff(old: Schema, new: Schema, *, seen: bool = False) -> list[Change]:
    """By column, in the order of the new one. What was merely seen (`low`, `high`) is left out unless asked for.

    >>> one = Column(name="delay", kind="float", missing=True, most_missing=0.01)
    >>> two = Column(name="delay", kind="float", missing=True, most_missing=0.08)
    >>> print(*diff(Schema(columns=(one,)), Schema(columns=(two,))))
    delay: share that may be missing was 0.01, is 0.08
    """
    before, after = ({column.name: column for column in one.columns} for one in (old, new))
    found = list(_fields(None, old, new, ("columns", "format")))
    for name in after:
        if name not in before:
            found.append(Change(column=name, field="added", after=after[name].kind))
        else:
            found += _fields(name, before[name], after[name], ("name", *(() if seen else _SEEN)))
    found += [Change(column=name, field="removed", before=before[name].kind) for name in before if name not in after]
    shared = [name for name in old.names if name in after]
    if shared != [name for name in new.names if name in before]:
        found.append(Change(column=None, field="order", before=old.names, after=new.names))
    return found


def _fields(name: str | None, old: Schema | Column, new: Schema | Column, aside: tuple[str, ...]) -> Iterator[Change]:
    for field in type(old).__dataclass_fields__:
        before, after = getattr(old, field), getattr(new, field)
        if field not in aside and before != after:
            yield Change(column=name, field=field, before=before, after=after)


def _gained_and_lost(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    parts = [
        ("gained", [one for one in after if one not in before]),
        ("lost", [one for one in before if one not in after]),
    ]
    told = [
        f"{word} {', '.join(map(repr, some[:10]))}{' ...' if len(some) > 10 else ''}" for word, some in parts if some
    ]
    return " and ".join(told) or "stand in another order"


def _order(order: str | None) -> str:
    return "must rise" if order == "rising" else "may come in any order"


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in _NOTHING:
        return "not said"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
