"""API keys: how they are made and recognised, and what the guard lets in at which cost."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.keyed import CAUSE, a_key, added, wrong

from loopwright.access import keys
from loopwright.access.bucket import Bucket
from loopwright.core.access import Scope
from loopwright.core.clock import SystemClock
from loopwright.core.stores import ApiKeys, Stores
from loopwright.errors import StoreUnavailable, UsageError
from loopwright.gateway.guard import Guard, Unverified
from loopwright.gateway.refused import Refused
from loopwright.testing import HandClock, memory_stores
from loopwright.testing.clock import START

SLOW = 2**14
"""As real keys are hashed."""


class Post:
    """A guard, the store it reads, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.stores: Stores = memory_stores(self.clock)
        self.is_away = False
        self.guard = Guard(self.read, self.clock)
        self.guard.refresh()

    def read(self) -> ApiKeys:
        if self.is_away:
            raise StoreUnavailable("the metadata store does not answer")
        return self.stores.keys

    def add(self, *scopes: Scope, **more: Any) -> str:
        key = added(self.stores, a_key(*scopes, **more))
        self.guard.refresh()
        return key

    def ask(self, key: str | None, scope: Scope = Scope.PREDICT, loop: str | None = None) -> Any:
        return self.guard.check_waiting(None if key is None else f"Bearer {key}", scope, loop)

    def status(self, key: str | None, scope: Scope = Scope.PREDICT, loop: str | None = None) -> int:
        """Of the refusal; 200 for none."""
        try:
            self.ask(key, scope, loop)
        except Refused as refused:
            return refused.status
        return 200


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    yield made
    made.guard.stop()


def refusal_of(guard: Guard, key: str) -> str:
    try:
        guard.check_waiting(f"Bearer {key}", Scope.PREDICT)
    except Refused as refused:
        return refused.what
    return ""


def the_refusal(call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as raised:
        call()
    return raised.value


def test_a_key_is_made_from_the_systems_chance_and_only_its_hash_is_kept() -> None:
    clock = HandClock()
    made = [keys.make(clock, name="shop", owner="me", scopes=[Scope.VIEW], lasts=timedelta(days=90)) for _ in range(2)]
    (text, kept), (other, _) = made
    assert re.fullmatch("lw_[0-9a-z]{10}_[0-9a-z]{52}", text)
    assert text != other
    identity, secret = keys.parse(text) or ("", "")
    assert kept.id == identity
    assert kept.expires_at == START + timedelta(days=90)
    assert keys.fits(secret, kept.hash)
    assert not keys.fits(secret[:-1] + ("0" if secret[-1] != "0" else "1"), kept.hash)
    assert kept.hash.startswith("scrypt$16384$8$1$")
    assert secret not in repr(kept)
    assert kept.hash not in repr(kept)


def test_the_same_secret_has_another_hash_each_time_and_keeps_its_parameters() -> None:
    made = {keys.hashed("secret", salt, n=n) for salt in (b"a", b"b") for n in (16, 32)}
    assert len(made) == 4
    assert all(keys.fits("secret", one) for one in made)


@pytest.mark.parametrize(
    "wrong_part",
    [{"name": ""}, {"name": "a\nb"}, {"owner": "x" * 101}, {"scopes": []}, {"rate_per_second": 0}]
    + [{"rate_per_second": one} for one in (-1.0, float("nan"), float("inf"))],
    ids=str,
)
def test_a_key_that_makes_no_sense_is_not_made(wrong_part: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"name": "shop", "owner": "me", "scopes": [Scope.VIEW], "lasts": None} | wrong_part
    with pytest.raises(UsageError):
        keys.make(HandClock(), **asked)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate_per_second=10, burst=3, at=100)
    assert [bucket.take(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100) == pytest.approx(0.1)
    assert [bucket.take(100 + tenth / 10) for tenth in (1, 2, 3)] == [0, 0, 0]
    assert bucket.take(100.35) == pytest.approx(0.05)
    assert [bucket.take(1000) for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]
    assert bucket.take(50) > 0


def test_before_the_first_key_everybody_is_let_in_and_after_it_nobody_without_one(post: Post) -> None:
    assert post.ask(None, Scope.ADMIN) is None
    assert post.ask("anything") is None
    key = post.add(Scope.PREDICT)
    assert post.status(None) == post.status("anything") == 401
    assert post.ask(key).id == "0000000000"


def test_authentication_stays_on_when_the_last_key_is_revoked_or_expires(post: Post) -> None:
    post.add(Scope.PREDICT)
    post.stores.keys.revoke("0000000000", CAUSE)
    post.guard.refresh()
    assert post.status(None) == 401


def test_a_guard_that_has_not_read_the_keys_yet_or_must_ask_lets_nobody_in() -> None:
    stores = memory_stores()
    unread, strict = Guard(lambda: stores.keys, HandClock()), Guard(lambda: stores.keys, HandClock(), is_required=True)
    strict.refresh()
    for guard in (unread, strict):
        assert the_refusal(lambda guard=guard: guard.check(None, Scope.VIEW)).status == 401  # type: ignore[misc]
        guard.stop()


def test_each_scope_opens_itself_and_admin_all(post: Post) -> None:
    for number, scope in enumerate(Scope):
        key = post.add(scope, number=number)
        opened = {asked for asked in Scope if post.status(key, asked) == 200}
        assert opened == (set(Scope) if scope is Scope.ADMIN else {scope})
        assert {post.status(key, asked) for asked in set(Scope) - opened} <= {403}


def test_a_key_for_some_loops_is_for_no_other(post: Post) -> None:
    key = post.add(Scope.PREDICT, loops=["flights"])
    assert [post.status(key, loop=loop) for loop in ("flights", "trains", None)] == [200, 403, 200]


def test_a_revocation_acts_with_the_next_poll(post: Post) -> None:
    key = post.add(Scope.PREDICT)
    assert post.status(key) == 200
    post.stores.keys.revoke("0000000000", CAUSE)
    assert post.status(key) == 200
    post.guard.poll()
    assert the_refusal(lambda: post.ask(key)).what == "the API key 0000000000 is revoked"


def test_an_expiry_acts_at_once_without_a_poll(post: Post) -> None:
    key = post.add(Scope.PREDICT, expires_at=START + timedelta(seconds=60))
    assert post.status(key) == 200
    post.clock.advance(60)
    assert "expired" in the_refusal(lambda: post.ask(key)).what


def test_a_store_that_is_away_leaves_the_keys_as_they_were_and_is_told_once(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    key = post.add(Scope.PREDICT)
    post.is_away = True
    for _ in range(3):
        post.guard.poll()
    assert post.status(key) == 200
    assert post.status(None) == 401
    assert len(caplog.records) == 1
    post.is_away = False
    post.stores.keys.revoke("0000000000", CAUSE)
    post.guard.poll()
    assert post.status(key) == 401


NONE_OF_OURS = ["", " ", "lw_", "lw_0000000000_", "x" * 66, "lw_" + "U" * 63, "lw_0000000000_" + "é" * 52, "z" * 10**6]


@pytest.mark.parametrize("given", NONE_OF_OURS, ids=range(len(NONE_OF_OURS)))
def test_what_is_no_key_is_refused_without_work(post: Post, given: str) -> None:
    post.add(Scope.PREDICT)
    with pytest.raises(Refused) as raised:
        post.guard.check(given, Scope.PREDICT)  # which would raise Unverified if there were something to verify
    assert raised.value.status == 401


def test_an_id_that_nobody_has_is_refused_at_no_cost(post: Post) -> None:
    post.add(Scope.PREDICT, n=SLOW)
    unknown = [wrong(a_key(number=1)[0], number) for number in range(2000)]
    begun = time.process_time()
    for one in unknown:
        with pytest.raises(Refused, match="not valid"):
            post.guard.check(one, Scope.PREDICT)
    assert time.process_time() - begun < 1  # by scrypt it would be minutes


def test_a_secret_is_verified_once_and_all_who_show_it_wait_for_the_same(post: Post) -> None:
    key = post.add(Scope.PREDICT, n=SLOW)
    waiting: set[Future[None]] = set()
    for _ in range(100):
        try:
            post.guard.check(key, Scope.PREDICT)
        except Unverified as unverified:
            waiting.add(unverified.done)
    assert len(waiting) == 1
    waiting.pop().result()
    assert post.guard.check(key, Scope.PREDICT) is not None


def test_a_wrong_secret_is_remembered_and_many_for_one_id_are_put_off(post: Post) -> None:
    key = post.add(Scope.PREDICT)
    assert [post.status(wrong(key)) for _ in range(20)] == [401] * 20  # one and the same costs one try
    assert [post.status(wrong(key, number)) for number in range(1, 8)] == [401] * 4 + [429] * 3
    refusal = the_refusal(lambda: post.ask(wrong(key, 9)))
    assert refusal.retry_seconds == pytest.approx(5)
    other = post.add(Scope.PREDICT, number=1)
    assert post.status(other) == 200  # the others go on
    post.clock.advance(5)
    assert post.status(key) == 200  # and so does its owner, in a while; once known, at once
    assert [post.status(wrong(key, number)) for number in (10, 11)] == [429] * 2
    assert post.status(key) == 200


def test_a_flood_of_new_keys_is_put_off_while_known_ones_go_on(post: Post) -> None:
    known = post.add(Scope.PREDICT)
    assert post.status(known) == 200
    flood = [post.add(Scope.PREDICT, number=number, n=SLOW) for number in range(1, 25)]
    statuses = []
    for key in flood:
        try:
            post.guard.check(key, Scope.PREDICT)
        except Refused as refused:
            statuses.append(refused.status)
        except Unverified:
            statuses.append(0)
        assert post.guard.check(known, Scope.PREDICT)
    assert set(statuses) == {0, 429}
    assert statuses.count(0) <= 24 - 1


def test_a_key_may_ask_as_often_as_its_rate_says(post: Post) -> None:
    key = post.add(Scope.PREDICT, rate_per_second=2)
    assert [post.status(key) for _ in range(3)] == [200, 200, 429]
    assert the_refusal(lambda: post.ask(key)).retry_seconds == pytest.approx(0.5)
    post.guard.refresh()  # which must not fill the bucket
    assert post.status(key) == 429
    post.clock.advance(0.5)
    assert [post.status(key) for _ in range(2)] == [200, 429]
    unlimited = post.add(Scope.PREDICT, number=1)
    assert {post.status(unlimited) for _ in range(50)} == {200}


def test_the_rate_is_divided_among_processes() -> None:
    stores, clock = memory_stores(), HandClock()
    key = added(stores, a_key(Scope.PREDICT, rate_per_second=4))
    guard = Guard(lambda: stores.keys, clock, processes=2)
    guard.refresh()
    for _ in range(2):
        guard.check_waiting(f"Bearer {key}", Scope.PREDICT)
    assert the_refusal(lambda: guard.check_waiting(f"Bearer {key}", Scope.PREDICT)).status == 429
    guard.stop()


def test_the_last_use_is_kept_to_the_hour_and_written_once_in_it(post: Post) -> None:
    key = post.add(Scope.PREDICT)
    post.guard.note_use()
    assert post.stores.keys.get("0000000000").last_used_at is None
    post.clock.advance(3700)
    post.ask(key)
    post.guard.note_use()
    assert post.stores.keys.get("0000000000").last_used_at == START + timedelta(hours=1)
    post.guard.refresh()
    post.is_away = True  # whoever writes now fails
    post.clock.advance(60)
    post.ask(key)
    post.guard.note_use()
    post.clock.advance(3600)
    post.ask(key)
    with pytest.raises(StoreUnavailable):
        post.guard.note_use()


def test_threads_follow_the_keys_until_they_are_stopped() -> None:
    stores = memory_stores()
    guard = Guard(lambda: stores.keys, SystemClock())
    guard.refresh()
    guard.start(0.01)
    key = added(stores, a_key(Scope.PREDICT))
    begun = time.monotonic()
    while not guard.is_on:
        assert time.monotonic() < begun + 10
    assert guard.check_waiting(f"Bearer {key}", Scope.PREDICT)
    stores.keys.revoke("0000000000", CAUSE)
    while not (refused := refusal_of(guard, key)):
        assert time.monotonic() < begun + 10
    assert "revoked" in refused
    guard.stop()


def test_no_log_and_no_refusal_tells_a_key(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = post.add(Scope.VIEW, loops=["flights"], rate_per_second=5)
    shown = [key, wrong(key), key.upper(), key + "x", wrong(a_key(number=3)[0])]
    told = []
    for one in shown * 3:
        for scope, loop in ((Scope.VIEW, "trains"), (Scope.PREDICT, None)):
            refused = the_refusal(lambda one=one, scope=scope, loop=loop: post.ask(one, scope, loop))  # type: ignore[misc]
            told.append(f"{refused} {refused.what} {refused.fix} {refused.where} {refused!r}")
    post.stores.keys.revoke("0000000000", CAUSE)
    post.guard.poll()
    told += [str(the_refusal(lambda: post.ask(key))), caplog.text]
    secrets = {one[14:].lower() for one in shown}
    assert [text for text in told for secret in secrets if secret in text.lower()] == []
    assert "0000000000" in caplog.text  # whose it was is told: of a wrong secret


def test_a_known_key_costs_next_to_nothing(post: Post) -> None:
    key = post.add(Scope.PREDICT, n=SLOW, loops=["flights"], rate_per_second=1e9)
    post.ask(key)
    begun = time.process_time()
    for _ in range(2000):
        post.guard.check(key, Scope.PREDICT, "flights")
    assert (time.process_time() - begun) / 2000 < 50e-6
