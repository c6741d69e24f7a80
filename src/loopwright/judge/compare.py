"""Compare champion and challenger on the same rows, under the same resamples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loopwright.errors import DataError
from loopwright.judge.catalog import METRICS
from loopwright.judge.evaluate import check_settings, compared, generator_for
from loopwright.judge.evaluation import Comparison, Difference, Outcome
from loopwright.judge.metrics import checked_names, why_undefined
from loopwright.judge.resample import bounds, resampled
from loopwright.judge.sample import Floats, Sample


def compare(
    champion: Sample,
    challenger: Sample,
    *,
    metrics: Sequence[str] | None = None,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Differences (challenger minus champion) of all metrics of the task, or those named, with paired intervals.

    Both samples must hold the same rows in the same order: as many, equal labels, equal weights, and equal keys where
    both have keys. A difference is shown when its interval does not hold 0.

    Raises `DataError` for different rows, `UsageError` for an unknown metric.

    >>> from loopwright.judge.sample import sample
    >>> labels = [0, 1] * 50
    >>> found = compare(sample(labels, [0.6, 0.4] * 50), sample(labels, [0.4, 0.6] * 50), metrics=["brier"])
    >>> round(found.differences[0].value, 2), found.differences[0].outcome.value
    (-0.2, 'better')
    """
    _refuse_other_rows(champion, challenger)
    check_settings(draws=draws, level=level)
    names = checked_names(metrics, champion.task)
    exact, drawn = resampled([champion, challenger], names, draws=draws, generator=generator_for(seed, "compare"))
    each = [
        _difference(name, exact[:, place], drawn[:, :, place], challenger, level) for place, name in enumerate(names)
    ]
    return Comparison(rows=champion.rows, level=level, draws=draws, seed=seed, differences=tuple(each))


def _refuse_other_rows(champion: Sample, challenger: Sample) -> None:
    fix = "score both models on the same rows, in the same order"
    if champion.task is not challenger.task or champion.classes != challenger.classes:
        raise DataError("champion and challenger do not answer the same question", fix="compare versions of one loop")
    if champion.rows != challenger.rows:
        raise DataError(f"the champion has {champion.rows} rows, the challenger {challenger.rows}", fix=fix)
    pairs = [("labels", champion.labels, challenger.labels), ("weights", champion.weights, challenger.weights)]
    if champion.keys is not None and challenger.keys is not None:
        pairs.insert(0, ("keys", champion.keys, challenger.keys))
    for what, one, other in pairs:
        differing = one != other
        if differing.any():
            row = int(np.flatnonzero(differing)[0])
            raise DataError(f"the {what} of champion and challenger differ, the first at row {row}", fix=fix)


def _difference(name: str, exact: Floats, drawn: Floats, challenger: Sample, level: float) -> Difference:
    """`exact` is `(2,)` and `drawn` `(draws, 2)`: champion, challenger."""
    one, other = (None if np.isnan(value) else float(value) for value in exact)
    if one is None or other is None:
        return Difference(metric=name, champion=one, challenger=other, reason=why_undefined(name, challenger))
    held, values = compared(name, drawn), compared(name, exact)
    value = float(values[1] - values[0])
    ends = bounds(value, held[:, 1] - held[:, 0], level)
    if ends is None:
        reason = "undefined in too many resamples for an interval"
        return Difference(metric=name, champion=one, challenger=other, value=value, reason=reason)
    return Difference(
        metric=name,
        champion=one,
        challenger=other,
        value=value,
        low=ends[0],
        high=ends[1],
        outcome=outcome_of(ends[0], ends[1], bigger_is_better=METRICS[name].bigger_is_better),
    )


def outcome_of(low: float, high: float, *, bigger_is_better: bool) -> Outcome:
    """What an interval of a difference shows.

    >>> outcome_of(0.01, 0.03, bigger_is_better=False)
    <Outcome.WORSE: 'worse'>
    """
    if low <= 0 <= high:
        return Outcome.NO_DIFFERENCE_SHOWN
    return Outcome.BETTER if (low > 0) == bigger_is_better else Outcome.WORSE
