"""Two versions of a loop side by side: what differs in what went in, and what differs in what came out.

Reads the store; decides nothing. Metrics of versions trained on different data may be measured on different rows: that
is said, never hidden.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.judge.evaluation import Evaluation, Measured, Slice
from loopwright.registry import evidence

MOST_SLICES = 10
_ABSENT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A named value that is not the same in both; None where it is missing."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPair:
    """One metric of both, each with its interval."""

    metric: str
    first: Measured | None
    second: Measured | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePair:
    """One slice measured in both."""

    slice: str
    metric: str
    first: Measured
    second: Measured
    rows: tuple[int, int]

    @property
    def difference(self) -> float:
        """Second minus first."""
        assert self.first.value is not None
        assert self.second.value is not None
        return self.second.value - self.first.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What two versions differ in."""

    first: Version
    second: Version
    parameters: tuple[Change, ...]
    """And the seed, and the commit."""
    data: tuple[Change, ...]
    code: str
    """A unified diff of what the models were made with; empty for equal code."""
    judging_code: str
    """Where that is equal, of the runs that judged; empty for equal or unknown code."""
    is_code_known: bool
    """False when a snapshot is gone, so that an empty diff proves nothing."""
    environment: tuple[Change, ...]
    metrics: tuple[MetricPair, ...]
    slices: tuple[SlicePair, ...]
    """By the first metric, the largest differences first."""
    is_same_rows: bool | None
    """Whether both were measured on as many rows of the same data; None where that is unknown."""


def compare(stores: Stores, first: Version, second: Version) -> Differences:
    """Raises ArtifactCorrupted and DataError for evidence that is damaged; what is gone is left out."""
    snapshots = [evidence.content_of(stores, evidence.code_of(version)) for version in (first, second)]
    installed = [evidence.content_of(stores, evidence.environment_of(one)) for one in (first, second)]
    code = code_diff(*map(evidence.sources, snapshots))
    evaluations = evidence.evaluation_of(stores, first), evidence.evaluation_of(stores, second)
    data = changes(_data(first), _data(second))
    return Differences(
        first=first,
        second=second,
        parameters=changes(_parameters(first), _parameters(second)),
        data=data,
        code=code,
        judging_code="" if code else _judging_code(stores, first, second),
        is_code_known=None not in snapshots,
        environment=changes(*map(evidence.environment, installed)),
        metrics=metric_pairs(*evaluations),
        slices=slice_pairs(*evaluations, second.metric)[:MOST_SLICES],
        is_same_rows=_is_same_rows(*evaluations, is_same_data=not data),
    )


def _judging_code(stores: Stores, first: Version, second: Version) -> str:
    judged = [evidence.run_of(stores, version) for version in (first, second)]
    snapshots = [evidence.content_of(stores, evidence.digest(run.code) if run else None) for run in judged]
    return "" if None in snapshots else code_diff(*map(evidence.sources, snapshots))


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs, by name; mappings within are told by dotted names.

    >>> [(c.name, c.first, c.second) for c in changes({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}})]
    [('b.c', 2, 4), ('b.d', 3, None)]
    """
    left, right = _flat(first), _flat(second)
    names = sorted(left.keys() | right.keys())
    return tuple(
        Change(name=name, first=left.get(name), second=right.get(name))
        for name in names
        if left.get(name, _ABSENT) != right.get(name, _ABSENT)
    )


def code_diff(first: Mapping[str, str | None], second: Mapping[str, str | None]) -> str:
    """A unified diff of two snapshots, file by file.

    >>> print(code_diff({"a.py": "x = 1"}, {"a.py": "x = 2"}))
    --- first/a.py
    +++ second/a.py
    @@ -1 +1 @@
    -x = 1
    +x = 2
    """
    told: list[str] = []
    for name in sorted(first.keys() | second.keys()):
        left, right = first.get(name, ""), second.get(name, "")
        if left == right:
            continue
        if left is None or right is None:
            told += [f"{name}: no text, or too big to compare"]
            continue
        old, new = (
            (f"first/{name}" if name in first else "/dev/null"),
            (f"second/{name}" if name in second else "/dev/null"),
        )
        told += difflib.unified_diff(left.splitlines(), right.splitlines(), old, new, lineterm="")
    return "\n".join(told)


def metric_pairs(first: Evaluation | None, second: Evaluation | None) -> tuple[MetricPair, ...]:
    """Every metric that either measured, in the order of measuring."""
    names = dict.fromkeys(one.metric for found in (first, second) if found for one in found.metrics)
    return tuple(
        MetricPair(
            metric=name,
            first=first.metric(name) if first else None,
            second=second.metric(name) if second else None,
        )
        for name in names
    )


def slice_pairs(first: Evaluation | None, second: Evaluation | None, metric: str) -> tuple[SlicePair, ...]:
    """Slices that both measured by the metric, the largest difference first."""
    if first is None or second is None:
        return ()
    left, right = _measured(first, metric), _measured(second, metric)
    pairs = [
        SlicePair(
            slice=left[key][0].name,
            metric=metric,
            first=left[key][1],
            second=right[key][1],
            rows=(left[key][0].rows, right[key][0].rows),
        )
        for key in left
        if key in right
    ]
    return tuple(sorted(pairs, key=lambda pair: (-abs(pair.difference), pair.slice)))


def _measured(evaluation: Evaluation, metric: str) -> dict[Any, tuple[Slice, Measured]]:
    """Slices by what they are of, with the metric's value there."""
    found: dict[Any, tuple[Slice, Measured]] = {}
    for each in evaluation.slices:
        one = next((one for one in each.metrics if one.metric == metric and one.value is not None), None)
        if one is not None:
            found[each.columns, tuple(map(repr, each.values))] = each, one
    return found


def _is_same_rows(first: Evaluation | None, second: Evaluation | None, *, is_same_data: bool) -> bool | None:
    if first is None or second is None:
        return None
    return is_same_data and (first.rows, first.positives) == (second.rows, second.positives)


def _parameters(version: Version) -> dict[str, Any]:
    given = version.lineage.get("parameters")
    told = dict(given) if isinstance(given, Mapping) else {}
    return told | {name: version.lineage[name] for name in ("seed", "git_commit") if name in version.lineage}


def _data(version: Version) -> Mapping[str, Any]:
    data = version.lineage.get("data")
    return data if isinstance(data, Mapping) else {}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found
