"""Whom a request is for, in the words of whoever asks: what keeps its arm. One rule for every door."""

from __future__ import annotations

from typing import Any, TypeGuard

from loopwright.gateway.refused import Refused

LONGEST = 256
"""Characters."""


def is_unit(found: Any) -> TypeGuard[str | None]:
    """None is right: a request need not say.

    >>> is_unit(None), is_unit("UA1545"), is_unit(""), is_unit(7)
    (True, True, False, False)
    """
    return found is None or (isinstance(found, str) and 0 < len(found) <= LONGEST)


def unit_of(found: Any) -> str | None:
    """As it was sent. Raises `Refused`."""
    if not is_unit(found):
        length = f", but of {len(found)}" if isinstance(found, str) else ""
        raise Refused(
            422,
            f"unit is no text of 1 to {LONGEST} characters{length}",
            fix=f"name the unit in 1 to {LONGEST} characters, or leave it out",
        )
    return found
