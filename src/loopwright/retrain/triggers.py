"""What makes a loop learn again, as declared. Nothing heavy may be imported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from loopwright.core.duration import duration
from loopwright.errors import DeclarationError
from loopwright.judge.catalog import find_metric


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNewData:
    """New rows over that span of the table's time. Made by `on_new_data`."""

    span: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDrift:
    """Drift of the inputs was found. Made by `on_drift`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDecay:
    """The metric on labelled predictions fell. Made by `on_decay`."""

    metric: str
    by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """That long after the last training. Made by `every`."""

    interval: timedelta
    from_scratch: bool


Trigger = OnNewData | OnDrift | OnDecay | Every


def on_new_data(span: str) -> OnNewData:
    """Learn again when rows over `span` of the table's time have come since the last training.

    >>> on_new_data("30d").span.days
    30
    """
    return OnNewData(span=duration(span, f"on_new_data({span!r})"))


def on_drift() -> OnDrift:
    """Learn again when the inputs have drifted."""
    return OnDrift()


def on_decay(metric: str, *, by: float) -> OnDecay:
    """Learn again when the metric on labelled predictions is worse by more than `by` than it was when judged.

    Raises `UsageError` for an unknown metric, `DeclarationError` for a `by` that is not above zero.

    >>> on_decay("roc_auc", by=0.03)
    OnDecay(metric='roc_auc', by=0.03)
    """
    find_metric(metric)
    if not _is_amount(by):
        raise DeclarationError(
            f"by={by!r} is no amount above 0", where=f"on_decay({metric!r})", fix=f'write on_decay("{metric}", by=0.03)'
        )
    return OnDecay(metric=metric, by=float(by))


def every(interval: str, *, from_scratch: bool = True) -> Every:
    """Learn again that long after the last training, whatever happened.

    >>> every("90d").interval.days
    90
    """
    return Every(interval=duration(interval, f"every({interval!r})"), from_scratch=from_scratch)


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
