"""Which columns are copies of one another: equal in every row seen, nulls included. Exact; no value is kept.

A partition of the columns. It begins with all of a kind in one group, every batch splits the groups it can, and merging
keeps together what both have together: any order of batches and fragments gives the same groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence


class Copies:
    """The groups of columns that are still equal. Columns that are alone cost nothing more."""

    def __init__(self, kinds: Mapping[str, Hashable]) -> None:
        self.groups = _grouped(kinds, kinds.__getitem__)

    def split(self, content: Callable[[str], Hashable]) -> None:
        """By what a batch holds of each column; asked only for columns that have company."""
        self.groups = [part for group in self.groups for part in _grouped(group, content)]

    def merge(self, other: Copies) -> None:
        number = {name: at for at, group in enumerate(other.groups) for name in group}
        self.split(lambda name: number.get(name, name))

    @classmethod
    def of(cls, groups: Iterable[Sequence[str]]) -> Copies:
        made = cls({})
        made.groups = [list(group) for group in groups]
        return made


def _grouped(names: Iterable[str], by: Callable[[str], Hashable]) -> list[list[str]]:
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for name in names:
        groups[by(name)].append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]
