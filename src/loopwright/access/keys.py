"""API keys as text: `lw_<id>_<secret>`. Shown once, when made; what is kept is a hash.

The hash is scrypt (RFC 7914): it is in the standard library, where argon2 would be one more dependency with compiled
code. Its cost guards secrets that people choose; these hold 260 random bits, which nobody tries out at any cost, so
16 MiB and some 50 ms are enough, paid once a key and process. Parameters stand beside each hash, so that they can rise
without a key becoming invalid. Nothing in here logs, and no error repeats what was presented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Collection
from datetime import timedelta

from loopwright.core.access import ApiKey, Scope
from loopwright.core.clock import Clock, new_token
from loopwright.errors import UsageError, did_you_mean

_DIGITS = "[0-9a-hjkmnp-tv-z]"
_ID, _SECRET = 10, 52
_FORM = re.compile(f"lw_({_DIGITS}{{{_ID}}})_({_DIGITS}{{{_SECRET}}})")
_LENGTH = len("lw_") + _ID + len("_") + _SECRET
_N, _R, _P = 2**14, 8, 1
_SIZE = 32
_BEARER = "bearer "


def make(
    clock: Clock,
    *,
    name: str,
    owner: str,
    scopes: Collection[Scope],
    lasts: timedelta | None,
    loops: Collection[str] = (),
    rate_per_second: float | None = None,
) -> tuple[str, ApiKey]:
    """A fresh key: the text for its owner, whom nobody can give it again, and what is to be kept. Raises UsageError."""
    _check(name, owner, scopes, rate_per_second)
    identity, secret, now = new_token(_ID), new_token(_SECRET), clock.now()
    kept = ApiKey(
        id=identity,
        name=name,
        owner=owner,
        scopes=frozenset(scopes),
        hash=hashed(secret, new_token(_SECRET).encode()[:_SIZE]),
        created_at=now,
        created_by="",
        expires_at=None if lasts is None else now + lasts,
        loops=frozenset(loops),
        rate_per_second=rate_per_second,
    )
    return f"lw_{identity}_{secret}", kept


def parse(text: str) -> tuple[str, str] | None:
    """The id and the secret of a key; None for what is no key.

    >>> parse(f"lw_{'a' * 10}_{'0' * 52}")[0], parse("lw_a_0"), parse(f"lw_{'a' * 10}_{'U' * 52}")
    ('aaaaaaaaaa', None, None)
    """
    match = _FORM.fullmatch(text) if len(text) == _LENGTH else None
    return (match[1], match[2]) if match else None


def identity(text: str) -> str:
    """The id, from an id or from a whole key that somebody pasted.

    >>> identity("aaaaaaaaaa"), identity(f"lw_{'a' * 10}_{'0' * 52}")
    ('aaaaaaaaaa', 'aaaaaaaaaa')
    """
    found = parse(text.strip())
    return found[0] if found else text.strip()


def presented(authorization: str | None, api_key: str | None) -> str | None:
    """What a request shows: of `Authorization: Bearer KEY`, or of `X-Api-Key: KEY`; None where it shows nothing.

    >>> presented("Bearer lw_1", None), presented(None, "lw_1"), presented(None, None), presented("Basic eA==", None)
    ('lw_1', 'lw_1', None, '')
    """
    if authorization is None:
        return None if api_key is None else api_key.strip()
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return api_key.strip() if api_key is not None else ""
    return authorization[len(_BEARER) :].strip()


def hashed(secret: str, salt: bytes, n: int = _N, r: int = _R, p: int = _P) -> str:
    """`scrypt$n$r$p$salt$hash`, the last two in base 64.

    >>> hashed("", b"", n=16, r=1, p=1)[:33]  # the first test vector of RFC 7914, its first 12 bytes
    'scrypt$16$1$1$$d9ZXYjhleyA7GcpCwY'
    """
    digest = hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=_SIZE)
    return "$".join(["scrypt", str(n), str(r), str(p), *(base64.b64encode(one).decode() for one in (salt, digest))])


def fits(secret: str, stored: str) -> bool:
    """Whether a hash is of this secret, at the cost that it names; compared in constant time.

    >>> fits("open", hashed("open", b"salt", n=16)), fits("opem", hashed("open", b"salt", n=16))
    (True, False)
    """
    _, n, r, p, salt, _ = stored.split("$")
    found = hashed(secret, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found.encode(), stored.encode())


def scope(word: str) -> Scope:
    """By its name. Raises UsageError.

    >>> scope("predict")
    <Scope.PREDICT: 'predict'>
    """
    known = {one.value: one for one in Scope}
    if word not in known:
        raise UsageError(f"there is no scope {word!r}; {did_you_mean(word, known)}", fix="see: lw keys make --help")
    return known[word]


def _check(name: str, owner: str, scopes: Collection[Scope], rate_per_second: float | None) -> None:
    for what, given in (("name", name), ("owner", owner)):
        if not 0 < len(given.strip()) <= 100 or not given.isprintable():
            raise UsageError(f"{given[:100]!r} is no {what} of a key", fix="write 1 to 100 letters on one line")
    if not scopes:
        raise UsageError("a key without a scope opens nothing", fix="say what it is for: --scope predict")
    if rate_per_second is not None and not (rate_per_second > 0 and math.isfinite(rate_per_second)):
        raise UsageError(f"{rate_per_second} is no rate", fix="write requests a second, above 0: --rate 50")
