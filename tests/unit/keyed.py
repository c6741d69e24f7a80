"""API keys whose hash costs nothing, and the header that shows one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from loopwright.access.keys import hashed
from loopwright.core.access import ApiKey, Scope
from loopwright.core.event import Cause
from loopwright.core.stores import Stores
from loopwright.testing.clock import START

CAUSE = Cause(actor="tester", at=START)
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def a_key(
    *scopes: Scope,
    number: int = 0,
    loops: Iterable[str] = (),
    expires_at: datetime | None = None,
    rate_per_second: float | None = None,
    n: int = 16,
) -> tuple[str, ApiKey]:
    """What its owner has, and what is kept; each number is another."""
    secret = (_LETTERS[number] * 52)[:52]
    kept = ApiKey(
        id=_LETTERS[number] * 10,
        name="a test",
        owner="tester",
        scopes=frozenset(scopes or (Scope.PREDICT,)),
        hash=hashed(secret, b"salt", n=n),
        created_at=START,
        created_by="tester",
        expires_at=expires_at,
        loops=frozenset(loops),
        rate_per_second=rate_per_second,
    )
    return f"lw_{kept.id}_{secret}", kept


def added(stores: Stores, made: tuple[str, ApiKey]) -> str:
    """The key, once the store has it."""
    stores.keys.add(made[1], replace(CAUSE, at=made[1].created_at))
    return made[0]


def wrong(key: str, number: int = 0) -> str:
    """The same id with another secret."""
    tail = "".join(_LETTERS[number >> shift & 31] for shift in range(0, 30, 5))
    return f"{key[:-7]}y{tail}"
