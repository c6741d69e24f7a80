"""Who is let in: the API keys of the workspace, at hand in memory, so that a request costs two look-ups and no store.

A key is verified by scrypt once in the life of a process, in a thread of its own; from then on its keyed digest
answers. What can be refused without scrypt is: no key, no such id, revoked, expired, or known to be wrong. The rest is
limited, so that a flood of wrong secrets costs one thread and takes the place of nobody whose key is known. Nothing
here logs what was presented, and no refusal repeats it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import MappingProxyType

from loopwright.access import keys
from loopwright.access.bucket import Bucket
from loopwright.core.access import ApiKey, Scope
from loopwright.core.clock import Clock, new_token
from loopwright.core.stores import ApiKeys
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
_WAITING = 16
"""Keys whose secrets are being verified, and wait for it: each takes a twentieth of a second of one thread."""
_TRIES, _TRIES_PER_SECOND = 5, 0.2
"""Of wrong secrets for one id: as many at once, and then so many a second."""
_WRONG = 4096
"""Wrong keys that are remembered as such."""
_LONGEST = 512
_NOTED_SECONDS = 15.0
_FIX = "send a key in the header Authorization: Bearer KEY; make one with: lw keys make NAME --scope SCOPE"


class Unverified(Exception):
    """Nothing is known yet of the secret of a key: ask again when `done` is."""

    def __init__(self, done: Future[None]) -> None:
        super().__init__("the secret of an API key is being verified")
        self.done = done


class Grant:
    """A key at work in this process."""

    __slots__ = ("bucket", "key", "tries", "used_at")

    def __init__(self, key: ApiKey, at: float, processes: int) -> None:
        self.key = key
        self.used_at: datetime | None = None
        self.tries = Bucket(rate_per_second=_TRIES_PER_SECOND, burst=_TRIES, at=at)
        rate = None if key.rate_per_second is None else key.rate_per_second / processes
        self.bucket = None if rate is None else Bucket(rate_per_second=rate, burst=max(1.0, rate), at=at)


class Guard:
    """Call `refresh` once before the first request; then `start` follows the keys in a thread of its own, for the one
    that follows routes may be busy loading a model, while a revocation must act.

    Authentication is on once the workspace has any key, for good; before, everybody is let in, which is meant for one's
    own machine: elsewhere say `is_required`. A key's rate is for the gateway: each of its `processes` takes its part.
    """

    def __init__(
        self, keys: Callable[[], ApiKeys], clock: Clock, *, is_required: bool = False, processes: int = 1
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._is_required = is_required
        self._processes = processes
        self._salt = new_token(52).encode()
        self._grants: Mapping[str, Grant] = MappingProxyType({})
        self._verified: dict[bytes, Grant] = {}
        self._wrong: dict[bytes, None] = {}
        self._at_work: dict[bytes, Future[None]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._is_cut_off = False
        self._is_read = False

    @property
    def is_on(self) -> bool:
        """Whether a key is asked for."""
        return self._is_required or not self._is_read or bool(self._grants)

    def check(self, presented: str | None, scope: Scope, loop: str | None = None) -> ApiKey | None:
        """Whom a key lets in to do this, with this loop; None while authentication is off. Never waits.

        Raises `Refused`: 401 for no key or a bad one, 403 for a key that does not open this, 429 for too many; and
        `Unverified` for one whose secret must be verified first.
        """
        key = self.identify(presented)
        if key is not None:
            authorise(key, scope)
            if loop is not None:
                authorise_loop(key, loop)
        return key

    def check_waiting(self, authorization: str | None, scope: Scope, loop: str | None = None) -> ApiKey | None:
        """As `check`, given what the header `Authorization` says, for a thread that may wait. Raises `Refused`."""
        presented = keys.presented(authorization, None)
        try:
            return self.check(presented, scope, loop)
        except Unverified as unverified:
            unverified.done.result()
        try:
            return self.check(presented, scope, loop)
        except Unverified:
            raise crowded() from None

    def identify(self, presented: str | None) -> ApiKey | None:
        """Whose request it is, counted against the key's rate. Raises as `check`, but for 403."""
        if not self.is_on:
            return None
        if presented is None:
            raise Refused(401, "this gateway asks for an API key", fix=_FIX)
        grant = self._grant(presented)
        now = self._clock.now()
        _refuse_ended(grant.key, now)
        if grant.bucket is not None:
            wait = grant.bucket.take(self._clock.monotonic())
            if wait:
                what = f"the key {grant.key.id} may ask {grant.key.rate_per_second:g} times a second"
                raise Refused(429, what, fix="ask less often, or for a key with a higher rate", retry_seconds=wait)
        grant.used_at = now
        return grant.key

    def refresh(self) -> None:
        """Read the keys. Raises what the store raises."""
        known, at = self._grants, self._clock.monotonic()
        grants = dict(known)
        for key in self._keys().list():
            if key.id in known:
                known[key.id].key = key
            else:
                grants[key.id] = Grant(key, at, self._processes)
        self._grants = MappingProxyType(grants)
        self._is_read = True

    def note_use(self) -> None:
        """Record when the keys were used last, where the store does not know it yet. Raises what the store raises."""
        used = {name: hour for name, grant in self._grants.items() if (hour := _news(grant)) is not None}
        if used:
            self._keys().note_use(used)

    def poll(self) -> None:
        """Refresh; whatever goes wrong is logged once, and the keys stay as they were known."""
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - the loop of a thread: a database may be away in many ways
            if not self._is_cut_off:
                _logger.warning("the API keys cannot be read; those that are known count on: %s", error)
            self._is_cut_off = True
        else:
            self._is_cut_off = False

    def start(self, seconds: float) -> None:
        """Follow the keys from now on. What is written is written by another thread: a write may wait for others."""
        for name, work, every in (("keys", self.poll, seconds), ("key use", self._note, _NOTED_SECONDS)):
            thread = threading.Thread(target=self._repeat, args=(work, every), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown(cancel_futures=True)

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while not self._stopped.wait(seconds):
            work()

    def _note(self) -> None:
        try:
            self.note_use()
        except Exception as error:  # noqa: BLE001 - the loop of a thread; the next round tries again
            _logger.debug("when the API keys were used last cannot be recorded: %s", error)

    def _grant(self, presented: str) -> Grant:
        """Of a key whose secret is right. Raises `Refused`, `Unverified`."""
        if len(presented) > _LONGEST:
            raise _invalid()
        # Keyed by what nobody knows, so that how long a look-up takes tells nothing of the keys that are in there.
        digest = hashlib.blake2b(presented.encode("utf-8", "replace"), key=self._salt, digest_size=32).digest()
        grant = self._verified.get(digest)
        return grant if grant is not None else self._first_seen(presented, digest)

    def _first_seen(self, presented: str, digest: bytes) -> Grant:
        parts = keys.parse(presented)
        grant = self._grants.get(parts[0]) if parts else None
        if parts is None or grant is None or digest in self._wrong:
            raise _invalid()
        _refuse_ended(grant.key, self._clock.now())
        with self._lock:
            found = self._verified.get(digest)  # meanwhile
            if found is not None:
                return found
            if digest in self._wrong:
                raise _invalid()
            raise Unverified(self._at_work.get(digest) or self._begin(grant, parts[1], digest))

    def _begin(self, grant: Grant, secret: str, digest: bytes) -> Future[None]:
        if len(self._at_work) >= _WAITING:
            raise crowded()
        wait = grant.tries.take(self._clock.monotonic())
        if wait:
            raise Refused(429, "too many wrong secrets for this API key", fix="ask again later", retry_seconds=wait)
        future = self._at_work[digest] = self._pool.submit(self._verify, grant, secret, digest)
        return future

    def _verify(self, grant: Grant, secret: str, digest: bytes) -> None:
        """In the one thread that does so."""
        try:
            is_right = keys.fits(secret, grant.key.hash)
            with self._lock:
                if is_right:
                    self._verified[digest] = grant
                else:
                    self._wrong[digest] = None
                    if len(self._wrong) > _WRONG:
                        del self._wrong[next(iter(self._wrong))]
            if not is_right:
                _logger.warning("a wrong secret was presented for the API key %s", grant.key.id)
        finally:
            with self._lock:
                self._at_work.pop(digest, None)


def authorise(key: ApiKey, scope: Scope) -> None:
    """Raises `Refused` for a key without that scope."""
    if not key.opens(scope):
        has = ", ".join(sorted(one.value for one in key.scopes))
        raise Refused(403, f"this needs the scope {scope.value}; the key {key.id} has {has}", fix="use another key")


def authorise_loop(key: ApiKey, loop: str) -> None:
    """Raises `Refused` for a key that is for other loops."""
    if not key.is_for(loop):
        raise Refused(403, f"the key {key.id} is not for the loop {loop[:80]!r}", fix="use another key")


def crowded() -> Refused:
    """For a key that cannot be verified now, because so many others are."""
    return Refused(429, "too many new API keys at once", fix="ask again", retry_seconds=1.0)


def _invalid() -> Refused:
    """One answer, whatever is wrong: none tells which ids there are."""
    return Refused(401, "this API key is not valid here", fix=_FIX)


def _refuse_ended(key: ApiKey, now: datetime) -> None:
    status = key.status_at(now)
    if status != "active":
        raise Refused(401, f"the API key {key.id} is {status}", fix=_FIX)


def _news(grant: Grant) -> datetime | None:
    """The hour of the last use, where the store does not know it yet."""
    if grant.used_at is None:
        return None
    hour = grant.used_at.replace(minute=0, second=0, microsecond=0)
    known = grant.key.last_used_at
    return hour if known is None or known < hour else None
