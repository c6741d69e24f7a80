"""Whether the arms get the shares of the units that they were meant to get: the sample ratio, at every moment.

Lindon and Malek, arXiv 2011.03567: the Dirichlet-multinomial mixture against the shares in force. Each stage of a ramp
has shares of its own; the evidence of stages multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from loopwright.errors import DataError

ALPHA = 0.001
"""A mismatch is rare and always somebody's mistake, so it is told only when it is sure."""
WEIGHT = 100.0
"""Of the prior, in units: how close to the meant shares the others that are tried lie."""


def log_e(stages: Iterable[tuple[Sequence[float], Sequence[int]]]) -> float:
    """Logarithm of the e-value against "as meant": of each stage the shares meant (summing to 1) and the units that
    came to each arm. Raises `DataError`.

    >>> log_e([((0.5, 0.5), (500, 510))]) < 0, log_e([((0.5, 0.5), (500, 700))]) > math.log(1 / ALPHA)
    (True, True)
    """
    return math.fsum(_stage(shares, counts) for shares, counts in stages)


def _stage(shares: Sequence[float], counts: Sequence[int]) -> float:
    is_one = math.isclose(math.fsum(shares), 1, abs_tol=1e-9) and len(shares) == len(counts)
    if not is_one or any(share <= 0 for share in shares) or any(count < 0 for count in counts):
        raise DataError(
            f"no stage: shares {tuple(shares)}, units {tuple(counts)}", fix="give shares above 0 that sum to 1"
        )
    total = sum(counts)
    found = math.lgamma(WEIGHT) - math.lgamma(WEIGHT + total)
    for share, count in zip(shares, counts, strict=True):
        prior = WEIGHT * share
        found += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return found


def meant(shares: Mapping[str, float], counts: Mapping[str, int]) -> tuple[list[float], list[int]]:
    """A stage as `log_e` takes it, of the arms that were to get anything.

    >>> meant({"champion": 0.9, "challenger": 0.1, "shadow": 0}, {"champion": 8})
    ([0.9, 0.1], [8, 0])
    """
    names = [name for name, share in shares.items() if share > 0]
    return [shares[name] for name in names], [counts.get(name, 0) for name in names]
