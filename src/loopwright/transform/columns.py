"""The columns a graph takes and the names they have in it. Standard library only: the gateway reads it too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MISSING_TIME = -(2**63)
"""What stands for a missing timestamp in the graph; any other is microseconds since 1970 in UTC."""
OUTPUTS = ("label", "probabilities", "value")
_WITHIN = ("column:", "loopwright/", "model/", "transform/")
"""So begins what a graph calls its own parts."""


class Kind(StrEnum):
    STRING = "string"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One raw column, as the graph takes it.

    >>> Column(name="value", kind=Kind.NUMBER).input
    'column:value'
    """

    name: str
    kind: Kind

    @property
    def input(self) -> str:
        """The name in the graph: the column's own, unless a graph has no such name, or calls something else so."""
        taken = not self.name or self.name in OUTPUTS or self.name.startswith(_WITHIN)
        return f"column:{self.name}" if taken else self.name
