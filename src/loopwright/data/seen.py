"""What a check looks at: the statistics of every column, computed once from one profile. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
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
        columns = {name: column_statistics(name, sketch) for name, sketch in sketches.items()}
        return Seen(profile=profile, sketches=sketches, columns=columns)
