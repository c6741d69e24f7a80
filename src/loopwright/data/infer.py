"""A schema from statistics: what was seen, and limits with room, which more rows of the same kind will keep.

Rules, for a person to correct in the file:
- missing: half as much again, four standard errors, and a point; none where none was missing.
- a domain is closed where there are at most 50 texts, each seen five times or more: what was never seen is then rare
  (Good and Turing: the share of the unseen is about that of what was seen once).
- numbers are bounded on a side whose tail is light, by half the range or twice the stretch from the 75th to the 99th
  percentile, whichever is more; and at zero, where whole ones do not go below it or others come near. A heavy tail has
  no highest value, an id is no quantity, and fewer than 100 values bound nothing.
- NaN may be where some was seen; what is infinite is no quantity, whatever was seen.
- a key is unique, a time rises, the label is absent in serving, what is `never` known is tagged so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from loopwright.data.profile import Profile
from loopwright.data.schema import NEVER, SERVING, Column, Schema
from loopwright.data.seen import Seen
from loopwright.data.summary import ColumnStatistics
from loopwright.data.table import Table

MOST_CLOSED = 50
SEEN_OFTEN = 5
LEAST_VALUES = 100
HEAVY = 3.0
"""A tail is heavy when the last hundredth stretches more than three times as far as the quarter before it."""
NEAR_ZERO = 0.05
"""Numbers whose lowest is so near to zero, as a share of the highest, are taken to end there."""
ID_LIKE = 0.9
"""Share of different values from which whole numbers are taken for ids."""
_ID = re.compile(r"(^|_)(id|key|uuid|number|zip)$", re.IGNORECASE)
_GROWTH = (0.2, 5.0)


def infer(profile: Profile | Seen, table: Table | None = None, *, label: str | None = None) -> Schema:
    """Of all columns described. `table` gives the roles; `label` alone where there is no table.

    >>> profile = Profile({"hour": "integer", "carrier": "string"})
    >>> profile.update({"hour": [6, 23] * 100, "carrier": ["UA", "B6"] * 100})
    >>> schema = infer(profile)
    >>> schema.column("carrier").values, schema.column("carrier").closed, schema.column("hour").most
    (('B6', 'UA'), True, 32)
    """
    seen = Seen.of(profile)
    roles = Table("rows") if table is None else table
    named = roles.label or label
    return Schema(
        columns=tuple(_column(one, roles, named) for one in seen.columns.values()),
        key=roles.key,
        time=roles.time,
        label=named,
        never=roles.never,
        weight=seen.profile.weight,
        least_rows=1,
        # Without a time nobody knows how long a span is.
        least_growth=None if roles.time is None else _GROWTH[0],
        most_growth=None if roles.time is None else _GROWTH[1],
    )


def seen_column(limits: Column | None, seen: ColumnStatistics) -> Column:
    """The limits of a column with what was seen of it now: what a model that was trained on these rows can take."""
    few = seen.kind == "string" and seen.values is not None and seen.distinct <= len(seen.values)
    told = seen.kind not in ("boolean", "list")
    made = limits or Column(name=seen.name, kind=seen.kind, missing=True)
    return replace(
        made,
        kind=seen.kind,
        missing=seen.missing > 0,
        most_missing=made.most_missing if seen.missing else 0.0,
        values=made.values if made.closed else tuple(sorted(seen.values or ())) if few else None,
        low=seen.low if told else None,
        high=seen.high if told else None,
    )


def _column(seen: ColumnStatistics, table: Table, label: str | None) -> Column:
    return replace(
        seen_column(None, seen),
        most_missing=_most_missing(seen),
        unique=table.key == (seen.name,),
        **_of_kind(seen, is_id=seen.name in table.key or _is_id(seen)),
        **_of_role(seen.name, table, label),
    )


def _of_role(name: str, table: Table, label: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if name == label or name in table.never:
        given["absent_in"] = (SERVING,)
    if name in table.never:
        given["tags"] = (NEVER,)
    if name == table.time:
        given["order"] = "rising"
    if name == label:
        given["least_distinct"] = 2
    return given


def _of_kind(seen: ColumnStatistics, *, is_id: bool) -> Mapping[str, Any]:
    there = seen.there
    match seen.kind:
        case "float":
            odd = {"nan": bool(seen.nan), "infinite": False}
            return odd | ({} if is_id else _bounds(seen, there))
        case "integer":
            return {} if is_id else _bounds(seen, there)
        case "string":
            return {} if is_id else _domain(seen, there)
        case "list" if there and isinstance(seen.low, int | float) and seen.low == seen.high:
            return {"shortest": int(seen.low), "longest": int(seen.low)}
    return {}


def _most_missing(seen: ColumnStatistics) -> float:
    share = seen.missing / seen.rows if seen.rows else 1.0
    if share == 0:
        return 0.0
    error = math.sqrt(share * (1 - share) / seen.rows) if seen.rows else 0.0
    return min(math.ceil((share + max(share / 2, 4 * error) + 0.01) * 1000) / 1000, 1.0)


def _domain(seen: ColumnStatistics, there: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counts = seen.values or {}
    if seen.distinct <= min(MOST_CLOSED, len(counts)) and counts and min(counts.values()) >= SEEN_OFTEN:
        found["closed"] = True
    elif there >= LEAST_VALUES and seen.shortest == seen.longest:
        found |= {"shortest": seen.shortest, "longest": seen.longest}
    return found


def _is_id(seen: ColumnStatistics) -> bool:
    there = seen.there
    return bool(_ID.search(seen.name)) or (seen.kind == "integer" and there > 0 and seen.distinct > ID_LIKE * there)


def _bounds(seen: ColumnStatistics, there: int) -> dict[str, Any]:
    low, high, quantiles = seen.low, seen.high, seen.quantiles
    if (
        there < LEAST_VALUES
        or quantiles is None
        or not isinstance(low, int | float)
        or not isinstance(high, int | float)
    ):
        return {}
    half = (high - low) / 2
    if not 0 < half < math.inf:
        return {}
    above, below = quantiles["0.99"] - quantiles["0.75"], quantiles["0.25"] - quantiles["0.01"]
    found: dict[str, Any] = {}
    if high - quantiles["0.99"] <= HEAVY * max(above, half / 50):
        most = high + max(half, 2 * above)
        found["most"] = _rounded(0.0 if high <= 0 else 1.0 if 0.5 < high <= 1 and low >= 0 else most, seen.kind, 1)
    light = quantiles["0.01"] - low <= HEAVY * max(below, half / 50)
    least = low - max(half, 2 * below)
    if low >= 0 and (not light or seen.kind == "integer" or least >= 0 or low <= NEAR_ZERO * high):
        least, light = max(least, 0.0) if light else 0.0, True
    return found | ({"least": _rounded(least, seen.kind, -1)} if light else {})


def _rounded(value: float, kind: str, direction: int) -> int | float:
    """Outward, to two digits, so that a person reads a limit and not a measurement."""
    if value == 0:
        return 0 if kind == "integer" else 0.0
    if kind == "integer":
        return math.ceil(value) if direction > 0 else math.floor(value)
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    made = (math.ceil(value / step) if direction > 0 else math.floor(value / step)) * step
    return float(f"{made:.12g}")
