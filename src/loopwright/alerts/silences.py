"""What people do not want to be told for a while. Kept apart from the ledger, so that a person and the process that
tells do not get in each other's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from loopwright.alerts.incident import Silence
from loopwright.core.event import Cause
from loopwright.core.plain import plain, restored
from loopwright.core.progress import Progress
from loopwright.core.stores import Stores
from loopwright.errors import UsageError

_NAME = "silences"
Silences = tuple[Silence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    silences: Silences = ()


def silences(stores: Stores) -> Silences:
    """All that were made and have not been cleared away; whether one covers a key is asked with the time."""
    return _read(stores)[1]


def silence(stores: Stores, made: Silence, cause: Cause) -> None:
    """From now on; one of the same pattern is written over. Raises Conflict when somebody else was at it."""
    _change(stores, cause, "AlertsSilenced", made, lambda known: (*(one for one in known if _other(one, made)), made))


def unsilence(stores: Stores, pattern: str, cause: Cause) -> Silence:
    """No longer. Raises UsageError where nothing is silenced so."""
    known = silences(stores)
    found = next((one for one in known if one.pattern == pattern), None)
    if found is None:
        named = ", ".join(one.pattern for one in known) or "nothing"
        raise UsageError(f"{pattern!r} is not silenced; {named} is", fix="see them with: lw alerts")
    _change(stores, cause, "AlertsUnsilenced", found, lambda known: tuple(one for one in known if _other(one, found)))
    return found


def _other(one: Silence, made: Silence) -> bool:
    return one.pattern != made.pattern


def _read(stores: Stores) -> tuple[Progress, Silences]:
    kept = stores.progress.get(_NAME) or Progress(name=_NAME, value=plain(_Kept()))
    return kept, restored(_Kept, dict(kept.value)).silences


def _change(stores: Stores, cause: Cause, kind: str, of: Silence, change: Callable[[Silences], Silences]) -> None:
    kept, known = _read(stores)
    lasting = tuple(one for one in known if one.until > cause.at)
    value = plain(_Kept(silences=change(lasting)))
    stores.progress.put(replace(kept, value=value), cause, events=[(kind, "alerts", plain(of))])
