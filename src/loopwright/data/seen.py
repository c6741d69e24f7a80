"""What a check looks at: the statistics of every column, computed at most once from one profile. NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loopwright.data.profile import Profile
from loopwright.data.shared import at_rest
from loopwright.data.summary import ColumnStatistics, column_statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Make one where the same rows are checked more than once."""

    profile: Profile
    sketches: Mapping[str, Any]
    """With nothing put aside."""
    columns: Mapping[str, ColumnStatistics]

    @property
    def rows(self) -> int:
        return self.profile.rows

    @classmethod
    def of(cls, profile: Profile | Seen) -> Seen:
        """Itself, where it is one."""
        if isinstance(profile, Seen):
            return profile
        sketches = at_rest(profile)
        return Seen(profile=profile, sketches=sketches, columns=_Columns(sketches))


class _Columns(Mapping[str, ColumnStatistics]):
    """Each made when it is asked for, once: of the span before, few are."""

    def __init__(self, sketches: Mapping[str, Any]) -> None:
        self._sketches = sketches
        self._made: dict[str, ColumnStatistics] = {}

    def __getitem__(self, name: str) -> ColumnStatistics:
        if name not in self._made:
            self._made[name] = column_statistics(name, self._sketches[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sketches)

    def __len__(self) -> int:
        return len(self._sketches)

    def __contains__(self, name: object) -> bool:
        return name in self._sketches
