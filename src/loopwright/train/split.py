"""`Split`: which labelled rows train a model, and which are held out to judge it. Nothing heavy may be imported.

How it is carried out is in `parts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from loopwright.errors import DeclarationError, did_you_mean

Rule = Literal["time", "groups", "random"]


@dataclass(frozen=True, slots=True, init=False)
class Split:
    """How rows are held out. A plain value.

    `time` holds out the newest rows, so that no row of the future trains a model that is judged on the past; `groups`
    keeps all rows that share the columns `key` on one side; `random` places each row by a hash of its table's key and
    `seed`, so that it stays on its side when the table grows, and whatever the run's seed. `holdout` is the share of
    labelled rows held out. A search splits the training part once more, in the same way.

    Raises `DeclarationError` for an unknown rule, groups without a key, or a share that leaves one side empty.

    >>> Split().by, Split("groups", key="tailnum", holdout=0.3).key
    ('time', ('tailnum',))
    >>> Split("times")
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: there is no rule 'times'
      where: Split('times')
      to do: did you mean 'time'?
    """

    by: Rule
    key: tuple[str, ...]
    holdout: float
    seed: int

    def __init__(
        self, by: Rule = "time", *, key: str | Sequence[str] = (), holdout: float = 0.2, seed: int = 0
    ) -> None:
        where = f"Split({by!r})"
        if by not in get_args(Rule):
            raise DeclarationError(f"there is no rule {by!r}", where=where, fix=did_you_mean(str(by), get_args(Rule)))
        columns = (key,) if isinstance(key, str) else tuple(key)
        if (by == "groups") != bool(columns):
            wrong = "groups need the columns that rows of one group share" if by == "groups" else f"{by} takes no key"
            raise DeclarationError(wrong, where=where, fix='write Split("groups", key="customer_id")')
        if not _is_share(holdout):
            raise DeclarationError(f"holdout={holdout!r} is no share", where=where, fix="write holdout=0.2")
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "key", columns)
        object.__setattr__(self, "holdout", float(holdout))
        object.__setattr__(self, "seed", int(seed))


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
