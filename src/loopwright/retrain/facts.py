"""What is decided upon: everything that triggers look at, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from loopwright.core.retraining import Retraining
from loopwright.judge.catalog import METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was told last of drift against a champion."""

    at: datetime
    champion: str
    """`late v3`."""
    drifted: tuple[str, ...] = ()
    """Columns that differ in two windows in a row."""
    suspected: tuple[str, ...] = ()
    """Columns that differ in the newest alone, or not for certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A version that is newer than the champion, and may take its place."""

    says: str
    since: datetime
    """Retrainings wait for it for a cool-down from then on."""
    to_do: str = ""
    """Of a person, where it comes no further by itself: then nothing waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One that is over, by one metric, as far as its labels are known."""

    until: datetime
    labels: int
    value: float | None = None
    """None where there are not labels enough."""
    nearest: float | None = None
    """The end of the interval that is nearer to a good value; None where there is no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How the champion does on labels, by one metric, beside how it was judged: in the newest window, and in the one
    before."""

    metric: str
    bigger_is_better: bool
    judged: float
    value: float
    nearest: float | None
    labels: int
    """Those that came since the decline was found, and since the last training."""
    before: float | None = None
    nearest_before: float | None = None

    @classmethod
    def of(cls, metric: str, judged: float, windows: Iterable[Window], since: datetime | None) -> Quality | None:
        """From the champion's windows since it learned, newest first; labels are counted after `since`. A window
        without labels enough is no window here: its labels count. None where no window has enough."""
        known = list(windows)
        measured = [(one.value, one.nearest) for one in known if one.value is not None]
        if not measured:
            return None
        (value, nearest), *earlier = measured
        before, nearest_before = earlier[0] if earlier else (None, None)
        return cls(
            metric=metric,
            bigger_is_better=METRICS[metric].bigger_is_better,
            judged=judged,
            value=value,
            nearest=nearest,
            labels=sum(one.labels for one in known if since is None or one.until > since),
            before=before,
            nearest_before=nearest_before,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """About one loop, as known at one moment."""

    now: datetime
    labels_within: timedelta
    """How long labels take."""
    deployment: int
    deployed_at: datetime
    is_learned: bool = False
    """Whether a model was made by the code that is deployed."""
    champion: str | None = None
    coming: Coming | None = None
    trained: tuple[datetime, ...] = ()
    """When the trainings began that made a model, or were told that theirs is no good. Not those that failed."""
    rows: int = 0
    rows_until: datetime | None = None
    """The newest event time in the table."""
    trained_until: datetime | None = None
    """The newest event time when it learned last."""
    moved: Moved | None = None
    alarmed_at: datetime | None = None
    """When the detector said of this champion that its errors rose."""
    declined_at: datetime | None = None
    """When the newest decline began that the detector found, of whatever champion."""
    quality: Mapping[str, Quality] = field(default_factory=dict)
    """By metric."""
    past: tuple[Retraining, ...] = ()
    """Newest first."""

    @property
    def last(self) -> datetime | None:
        """When it began to learn last: what a cause counts from."""
        return max(self.trained, default=None)

    @property
    def last_so_far(self) -> datetime | None:
        """As `last`, without what a clock that was ahead wrote."""
        return max((at for at in self.trained if at <= self.now), default=None)
