"""`Monitor`: the declaration of how a loop is watched. Nothing heavy may be imported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from loopwright.core.duration import duration
from loopwright.core.horizon import USUAL
from loopwright.errors import DeclarationError

MOST_WAITING = 2048
"""Windows whose labels may be waited for at once."""


@dataclass(frozen=True, slots=True, init=False)
class Monitor:
    """What is looked at in every `window` of the prediction log, by the time of the predictions, and what alarms.

    A window is closed `lateness` after its end. A label that did not come `labels_within` of its prediction is missing,
    and never negative: until then quality is told again as labels come. `slices` names columns, or tuples of columns
    taken together; None takes those of the judge. `outcomes` names what else comes true, revenue say. `most_errors` is
    a share of the requests; `most_latency_ms` holds for 99 of 100. A champion older than `champion_within` is stale, as
    are labels when none came for `data_within`. Raises `DeclarationError` for what cannot be, and where labels of more
    than 2,048 windows would be waited for at once.

    >>> Monitor(window="1h", labels_within="2d").labels_within.days
    2
    >>> Monitor(window="1d", most_errors=5)
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: most_errors=5 is no share
      where: Monitor(most_errors=5)
      to do: write a share from 0 to 1: most_errors=0.01
    """

    window: timedelta
    labels_within: timedelta
    lateness: timedelta
    slices: tuple[tuple[str, ...], ...] | None
    outcomes: tuple[str, ...]
    most_errors: float
    most_latency_ms: float | None
    champion_within: timedelta
    data_within: timedelta | None

    def __init__(
        self,
        *,
        window: str = "1d",
        labels_within: str = USUAL,
        lateness: str = "10s",
        slices: Sequence[str | Sequence[str]] | None = None,
        outcomes: Sequence[str] = (),
        most_errors: float = 0.01,
        most_latency_ms: float | None = None,
        champion_within: str = "90d",
        data_within: str | None = None,
    ) -> None:
        lengths = {"window": window, "labels_within": labels_within, "champion_within": champion_within}
        found: dict[str, object] = {name: duration(text, _where(name, text)) for name, text in lengths.items()}
        found["lateness"] = duration(lateness, _where("lateness", lateness), may_be_zero=True)
        found["data_within"] = data_within and duration(data_within, _where("data_within", data_within))
        found["slices"] = None if slices is None else _slices(slices)
        found["outcomes"] = _names(outcomes)
        found["most_errors"] = _share(most_errors)
        found["most_latency_ms"] = _above_zero(most_latency_ms)
        for name, value in found.items():
            object.__setattr__(self, name, value)
        _refuse_windows(self, window, labels_within)


def _refuse_windows(monitor: Monitor, window: str, labels_within: str) -> None:
    """Too short or too long ones, and more than can be waited for."""
    if monitor.window < timedelta(seconds=1) or monitor.window > timedelta(days=366):
        raise DeclarationError(
            f"a window of {window} cannot be looked at", where=_where("window", window), fix='write window="1d"'
        )
    waiting = monitor.labels_within / monitor.window
    if waiting > MOST_WAITING:
        shortest = math.ceil(monitor.labels_within / timedelta(minutes=1) / MOST_WAITING)
        raise DeclarationError(
            f"labels within {labels_within} keep {waiting:,.0f} windows of {window} waiting, {MOST_WAITING:,} at most",
            where=f"Monitor(window={window!r}, labels_within={labels_within!r})",
            fix=f'write window="{shortest}min" or longer, or wait less long for labels',
        )


def _where(name: str, value: object) -> str:
    return f"Monitor({name}={value!r})"


def _slices(given: object) -> tuple[tuple[str, ...], ...]:
    wrong = DeclarationError(
        f"slices={given!r} is not a list of columns",
        where=_where("slices", given),
        fix='write slices=["carrier", ("origin", "hour")]',
    )
    if not isinstance(given, list | tuple):
        raise wrong
    found = [(one,) if isinstance(one, str) else one for one in given]
    for columns in found:
        if not isinstance(columns, list | tuple) or not columns or not all(isinstance(c, str) and c for c in columns):
            raise wrong
    return tuple(dict.fromkeys(tuple(columns) for columns in found))


def _names(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one for one in given):
        raise DeclarationError(
            f"{given!r} is no list of outcomes", where=_where("outcomes", given), fix='write outcomes=["revenue"]'
        )
    return tuple(dict.fromkeys(given))


def _share(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise DeclarationError(
            f"most_errors={given!r} is no share",
            where=_where("most_errors", given),
            fix="write a share from 0 to 1: most_errors=0.01",
        )
    return float(given)


def _above_zero(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        raise DeclarationError(
            f"most_latency_ms={given!r} is no time",
            where=_where("most_latency_ms", given),
            fix="write milliseconds above 0: most_latency_ms=50",
        )
    return float(given)
