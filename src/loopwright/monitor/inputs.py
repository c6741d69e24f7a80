"""Whether what is asked about is what the model's contract says: the checks that training data go through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from loopwright.core.finding import Finding, Level
from loopwright.data.check import check
from loopwright.data.findings import Finding as DataFinding
from loopwright.data.findings import Severity
from loopwright.data.schema import SERVING
from loopwright.monitor.view import View

_NAME = "input"
_OF_TABLES = frozenset({
    "no rows", "too few rows", "too many rows", "too few values", "too few distinct", "constant", "near-constant",
    "copies", "new column", "goes back in time", "comparison data missing", "not unique", "unexpected repetition",
})  # fmt: skip
"""What is said of a table as a whole, and means nothing for the requests of one window."""


def inputs(view: View) -> Iterator[Finding]:
    """A finding a column that breaks its limits, and one for all."""
    if view.champion is None or view.seen.inputs is None or not view.seen.inputs.rows:
        yield view.found(_NAME, "all", Level.UNKNOWN, _why_nothing(view), measure="columns", rows=0)
        return
    told = _by_column(view)
    rows = view.seen.inputs.rows
    for column, found in told.items():
        yield _finding(view, column, found, rows)
    worst = max((_level(found) for found in told.values()), key=_RANK.index, default=Level.FINE)
    names = ", ".join(list(told)[:5]) + (", ..." if len(told) > 5 else "")
    reason = f"{rows:,} rows: " + (f"{len(told)} columns break a limit: {names}" if told else "no limit is broken")
    if view.seen.unlike:
        reason += f"; {view.seen.unlike:,} rows are of a version that takes other columns, and not looked at"
    yield view.found(
        _NAME, "all", worst, reason, measure="columns", number=len(told), limit=0, rows=rows, unlike=view.seen.unlike
    )


_RANK = [Level.FINE, Level.UNKNOWN, Level.NOTICED, Level.ALARMED]


def _why_nothing(view: View) -> str:
    return view.why_no_rows if view.champion else "there is no champion whose contract would hold"


def _by_column(view: View) -> dict[str, list[DataFinding]]:
    """What breaks a limit; what is of no one column under `rows`."""
    assert view.champion is not None
    assert view.seen.inputs is not None
    before = view.before[-1].inputs if view.before else None
    profile = view.seen.inputs.profile()
    is_like = before is not None and before.kinds == profile.kinds
    training = view.champion.training
    known = None if training is None else training.only([name for name in profile.kinds if name in training.kinds])
    found = check(
        profile,
        view.champion.contract,
        environment=SERVING,
        previous=before if is_like else None,
        training=known,
        equally_long=True,
    )
    told = defaultdict[str, list[DataFinding]](list)
    for name, rows in view.seen.wrong.items():
        told[name].append(_wrong(name, rows))
    for one in found:
        if one.kind not in _OF_TABLES:
            told[one.column or "rows"].append(one)
    return dict(told)


def _wrong(name: str, rows: int) -> DataFinding:
    return DataFinding(
        kind="wrong type", severity=Severity.ERROR, message=f"{name!r} is of another type in {rows:,} rows",
        fix="send it as the model's contract says", column=name, number=rows, limit=0,
    )  # fmt: skip


def _level(found: list[DataFinding]) -> Level:
    return Level.ALARMED if any(one.severity is Severity.ERROR for one in found) else Level.NOTICED


def _finding(view: View, column: str, found: list[DataFinding], rows: int) -> Finding:
    first = min(found, key=lambda one: one.severity is not Severity.ERROR)
    return view.found(
        _NAME, column, _level(found), "; ".join(one.message for one in found), measure=first.kind, number=first.number,
        limit=first.limit if isinstance(first.limit, int | float) else None,
        rows=rows, fix=first.fix, accept=first.accept, found=[one.to_dict() for one in found],
    )  # fmt: skip
