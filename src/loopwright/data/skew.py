"""Whether what is served looks like what was trained on. The engine of `drift`, with limits of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from loopwright.data.drift import Limits, compare, moving_on
from loopwright.data.drifted import Drift
from loopwright.data.profile import Profile
from loopwright.data.schema import Schema
from loopwright.data.shared import shared, with_one_missing


def skew(
    training: Profile,
    serving: Profile,
    *,
    schema: Schema | None = None,
    previous: Drift | None = None,
    importance: Mapping[str, float] | None = None,
    leave_out: Collection[str] | None = None,
) -> Drift:
    """As `drift`, with the columns' own `skew` limits. The label, which serving does not have, is not compared; null,
    empty text and NaN are one, as they are to a model: a request has no NaN."""
    if leave_out is None:
        label = schema.label if schema else None
        leave_out = moving_on(training, schema) | ({label} if label and label not in serving.sketches else set())
    limits = Limits.of(schema, lambda column: column.skew)
    return compare(
        training,
        serving,
        limits=limits,
        leave_out=leave_out,
        previous=previous,
        importance=importance,
        look=lambda one, other: with_one_missing(shared(one, other)),
    )
