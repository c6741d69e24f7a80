"""Whether a loop answers: requests, errors, latency, and the machine it is watched on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.monitor.machine import Machine
from loopwright.monitor.view import View, share_bounds

_NAME = "operation"
_FULL = {"cpu": (1.5, 3.0), "memory": (0.90, 0.97), "disk": (0.85, 0.95), "gpu memory": (0.95, 1.01)}
"""From where on it is noticed, and from where on it alarms."""


def operation(
    view: View, failures: Counter[str], machine: Machine | None = None, *, quiet_until: datetime | None = None
) -> Iterator[Finding]:
    """`failures` by kind; the machine only for a window that ended just now; until when nobody asked."""
    yield _requests(view, failures, quiet_until or view.window.until)
    yield _errors(view, failures)
    yield from _latency(view)
    if machine is not None:
        yield from _machine(view, machine)


def _requests(view: View, failures: Counter[str], until: datetime) -> Finding:
    rows = view.seen.total
    asked = rows + failures.total()
    had = bool(view.before and view.before[-1].rows)
    level = Level.FINE if asked or not had else Level.NOTICED
    told = f"{asked:,} rows were asked about" if asked else f"nobody asked up to {until:%Y-%m-%d %H:%M}"
    if not asked and had:
        told += f"; in the window with rows before it were {view.before[-1].rows:,}"
    by = {f"v{version}": count for version, count in sorted(view.seen.rows.items())}
    return view.found(
        _NAME, "requests", level, told, measure="rows", number=asked, by_version=by, until=until.isoformat()
    )


def _errors(view: View, failures: Counter[str]) -> Finding:
    failed, limit = failures.total(), view.watched.monitor.most_errors
    asked = view.seen.total + failed
    low, high = share_bounds(failed, asked)
    share = failed / asked if asked else math.nan
    level, told = Level.FINE, f"{failed:,} of {asked:,} rows failed ({share:.2%}); the limit is {limit:.2%}"
    needed = math.ceil(3 / limit)
    if share > limit and low > limit and failed >= 3:
        level = Level.ALARMED
    elif share > limit:
        level = Level.NOTICED
        told += "; so few rows may be chance"
    elif asked < needed:
        level = Level.UNKNOWN
        told = f"not enough data: {needed - asked:,} more rows are needed to say that fewer than {limit:.2%} fail"
    return view.found(
        _NAME, "errors", level, told, measure="error_share", number=share, limit=limit,
        rows=asked, failed=failed, low=low, high=high, kinds=dict(failures),
    )  # fmt: skip


def _latency(view: View) -> Iterator[Finding]:
    limit = view.watched.monitor.most_latency_ms
    for number, said in sorted(view.seen.said.items()):
        count = said.latencies.count
        if not count:
            continue
        half, most = said.latencies.quantile(0.5), said.latencies.quantile(0.99)
        told = f"99 of 100 answers came within {_ms(most)}, half within {_ms(half)}"
        level = Level.FINE
        if limit is not None:
            level = Level.ALARMED if most > limit else Level.FINE
            told += f"; the limit is {_ms(limit)}"
        if count < 100:
            level, told = Level.UNKNOWN, f"not enough data: {100 - count} more answers; {told}"
        yield view.found(
            _NAME, "latency", level, told, measure="latency_p99_ms", number=most, limit=limit, version=number,
            rows=count, p50=half,
        )  # fmt: skip


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 1000 else f"{value:.3g} ms"


def _machine(view: View, machine: Machine) -> Iterator[Finding]:
    told: dict[str, Any] = {"cpu": machine.cpu, "memory": machine.memory, "disk": machine.disk}
    for number, (busy, used) in enumerate(machine.gpus):
        told[f"gpu {number} memory"] = used
        yield view.found(
            _NAME, f"gpu {number}", Level.FINE, f"GPU {number} was busy {busy:.0%} of the time",
            measure="share", number=busy,
        )  # fmt: skip
    for what, share in told.items():
        if share is not None:
            noticed, alarmed = _FULL["gpu memory" if what.startswith("gpu") else what]
            level = Level.ALARMED if share > alarmed else Level.NOTICED if share > noticed else Level.FINE
            is_load = what == "cpu"
            reason = f"{share:.2f} processes a core run or wait" if is_load else f"{share:.0%} of the {what} is in use"
            yield view.found(
                _NAME, what, level, reason, measure="load" if is_load else "share", number=share, limit=noticed
            )
