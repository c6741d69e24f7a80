"""Who is told what: the file that says so, incidents, silences, the digest, and how fast a promise is used up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loopwright.alerts import declare, hearing
from loopwright.alerts.burning import Bucket, Counts
from loopwright.alerts.declare import Config, Promise
from loopwright.alerts.delivery import Undelivered
from loopwright.alerts.incident import Happening, Ledger, Message, Silence, absorb
from loopwright.alerts.reconciler import Alerts, ledger_of
from loopwright.alerts.silences import silence, unsilence
from loopwright.alerts.urgency import Urgency
from loopwright.core.clock import new_ulid
from loopwright.core.event import Cause, Event
from loopwright.core.progress import Progress
from loopwright.core.version import Arm, Route
from loopwright.errors import SettingsError, UsageError
from loopwright.predictions.failures import Failures
from loopwright.testing import HandClock, memory_stores

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TO_ME = {"name": "me", "url": "json://127.0.0.1:9", "urgency": ["page", "notify", "ticket"]}


def config(**changes: Any) -> Config:
    return declare.parse({"to": [TO_ME | changes]}, {})


def happened(cause: str = "decay", urgency: Urgency = Urgency.NOTIFY, at: datetime = NOON, **more: Any) -> Happening:
    return Happening(at=at, loop="flights", cause=cause, urgency=urgency, what="roc_auc fell to 0.61", **more)


def told(ledger: Ledger) -> list[str]:
    return [message.title for message in ledger.outbox]


def heard(*happenings: Happening, ledger: Ledger | None = None, now: datetime = NOON, **more: Any) -> Ledger:
    before = replace(ledger or Ledger(), outbox=())
    return absorb(before, happenings, more.get("config", config()), more.get("silences", ()), now)


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"too": []}, "did you mean 'to'"),
        ({"to": [TO_ME, TO_ME]}, "two recipients are called 'me'"),
        ({"to": [TO_ME | {"urgency": ["pager"]}]}, "did you mean 'page'"),
        ({"to": [TO_ME | {"url": "nowhere"}]}, "there is no url"),
        ({"to": [TO_ME | {"url": "env:PAGER_URL"}]}, "the environment has no PAGER_URL"),
        ({"to": [TO_ME | {"loops": "flights"}]}, "loops = 'flights' is not of kind list"),
        ({"to": [TO_ME | {"events": [7]}]}, "no list of texts"),
        ({"to": [TO_ME | {"digest": "8 o'clock"}]}, "is no time of day"),
        ({"to": {"name": "me"}}, "'to' is no list of tables"),
        ({"to": [{"url": "json://127.0.0.1"}]}, "a recipient has no name"),
        ({"to": [TO_ME | {"url": "webhook+https://h:80a/secret"}]}, "no address of the web"),
        ({"to": [TO_ME | {"url": "webhook+https://h:99999/secret"}]}, "no address of the web"),
        ({"to": [TO_ME | {"url": "webhook+https://h/a secret"}]}, "no address of the web"),
        ({"to": [TO_ME | {"url": "webhook+https://h/s\u00e9cret"}]}, "no address of the web"),
        ({"to": [TO_ME | {"url": "webhook+ftp://h/secret"}]}, "no address of the web"),
        ({"to": [TO_ME | {"url": ["json://u:secret@h"]}]}, "url is not of kind str"),
        ({"to": [TO_ME | {"digest": "08:00+02:00"}]}, "names a zone"),
        ({"promise": {"availability": 99.9}}, "availability = 99.9 is no promise"),
        ({"promise": {"slow_ms": 0}}, "slow_ms = 0 is no time"),
        ({"promise": {"fast": "often"}}, "is not of kind float"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_place(found: dict[str, Any], what: str) -> None:
    with pytest.raises(SettingsError, match="alerts") as refused:
        declare.parse(found, {}, "alerts.toml")
    assert what in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_secret_is_read_from_the_environment_and_a_file_that_is_not_there_tells_nobody(tmp_path: Path) -> None:
    found = declare.parse({"to": [TO_ME | {"url": "env:PAGER"}]}, {"PAGER": "pagerduty://key"})
    assert found.recipients[0].url == "pagerduty://key"
    assert declare.read(tmp_path) == Config()
    (tmp_path / "alerts.toml").write_bytes(b"to = \xff")
    with pytest.raises(SettingsError, match="cannot be read"):
        declare.read(tmp_path)
    (tmp_path / "alerts.toml").write_text("to = [")
    with pytest.raises(SettingsError, match="no TOML"):
        declare.read(tmp_path)


def test_an_incident_is_told_once_however_often_it_happens() -> None:
    once = heard(happened())
    assert told(once) == ["[notify] flights: decay"]
    again = heard(happened(at=NOON + HOUR), happened(at=NOON + 2 * HOUR), ledger=once, now=NOON + 2 * HOUR)
    assert told(again) == []
    assert [one.count for one in again.open] == [3]


def test_it_is_told_again_when_it_becomes_more_urgent_and_when_it_is_over() -> None:
    ticket = heard(happened("latency", Urgency.TICKET))
    page = heard(happened("latency", Urgency.PAGE), ledger=ticket)
    assert told(page) == ["[page] flights: latency"]
    calmer = heard(happened("latency", Urgency.TICKET), ledger=page)
    assert told(calmer) == []
    over = heard(happened("latency", ends=True), ledger=calmer)
    assert told(over) == ["[over] flights: latency"]
    assert over.open == []
    assert told(heard(ledger=over)) == []
    reopened = heard(happened("latency", Urgency.PAGE, at=NOON + DAY), ledger=over, now=NOON + DAY)
    assert told(reopened) == ["[page] flights: latency"]
    assert reopened.outbox[0].id != page.outbox[0].id


def test_who_heard_of_it_when_it_was_less_urgent_hears_of_its_end() -> None:
    found = [TO_ME | {"name": word, "urgency": [word]} for word in ("ticket", "page")]
    both = declare.parse({"to": found}, {})
    ticket = heard(happened("latency", Urgency.TICKET), config=both)
    page = heard(happened("latency", Urgency.PAGE), ledger=ticket, config=both)
    over = heard(happened("latency", ends=True), ledger=page, config=both)
    assert [[one.to for one in each.outbox] for each in (ticket, page, over)] == [
        ["ticket"],
        ["page"],
        ["ticket", "page"],
    ]
    again = heard(happened("latency", Urgency.PAGE, at=NOON + DAY), ledger=over, now=NOON + DAY, config=both)
    ended = heard(happened("latency", ends=True, at=NOON + DAY), ledger=again, now=NOON + DAY, config=both)
    assert [one.to for one in ended.outbox] == ["page"], "this time it was never a ticket"


def test_a_digest_is_of_the_loops_it_is_for() -> None:
    drift = heard(happened("drift", Urgency.DIGEST))
    for loops, count in (["elsewhere"], 0), (["fl*"], 1):
        daily = config(digest="08:00", urgency=[], loops=loops)
        assert len(told(heard(ledger=drift, now=NOON + HOUR, config=daily))) == count


def test_the_end_of_what_never_began_is_no_news() -> None:
    assert heard(happened(ends=True)) == Ledger()


def test_two_causes_and_two_loops_are_incidents_of_their_own() -> None:
    found = heard(happened("decay"), happened("latency"), replace(happened("decay"), loop="fares"))
    assert sorted(one.key for one in found.open) == ["fares/decay", "flights/decay", "flights/latency"]


def test_drift_waits_for_the_digest_which_goes_out_once_a_day() -> None:
    daily = config(digest="08:00")
    drift = heard(happened("drift", Urgency.DIGEST), config=config())
    assert told(drift) == []
    early = heard(ledger=drift, now=NOON.replace(day=15, hour=7), config=daily)
    assert told(early) == []
    due = heard(ledger=early, now=NOON.replace(day=15, hour=8), config=daily)
    assert told(due) == ["Loopwright on 2026-03-15: 1 open"]
    assert "flights/drift" in due.outbox[0].body
    assert told(heard(ledger=due, now=NOON.replace(day=15, hour=23), config=daily)) == []
    slept = heard(ledger=due, now=NOON.replace(day=19, hour=9), config=daily)
    assert told(slept) == ["Loopwright on 2026-03-19: 1 open"]
    back = heard(ledger=slept, now=NOON.replace(day=17, hour=9), config=daily)
    assert told(back) == [], "the clock was set back, and the day's digest has gone out"


def test_a_silence_keeps_messages_back_and_what_outlasts_it_is_told_then() -> None:
    quiet = (Silence(pattern="flights/*", until=NOON + HOUR, by="me"),)
    silent = heard(happened(), silences=quiet)
    assert told(silent) == []
    assert [one.key for one in silent.open] == ["flights/decay"]
    loud = heard(ledger=silent, now=NOON + HOUR, silences=quiet)
    assert told(loud) == ["[notify] flights: decay"]
    other = heard(replace(happened(), loop="fares"), silences=quiet)
    assert told(other) == ["[notify] fares: decay"]


def test_what_is_heard_of_no_more_is_over_without_a_word_and_forgotten_in_the_end() -> None:
    found = heard(happened())
    week = heard(ledger=found, now=NOON + 8 * DAY)
    assert week.open == []
    assert told(week) == []
    assert heard(ledger=week, now=NOON + 60 * DAY).incidents == ()


def test_events_that_are_subscribed_to_come_as_one_message_a_loop() -> None:
    follows = config(urgency=[], events=["Version*"])
    some = [happened("", kinds=(kind,)) for kind in ("VersionRegistered", "VersionPromoted", "RunFailed")]
    found = heard(*some, config=follows)
    assert told(found) == ["flights: VersionRegistered and 1 more"]
    assert told(heard(*some, config=config(loops=["fares"], events=["*"]))) == []


def counts(per_minute: Bucket, minutes: int, upto: datetime = NOON) -> Counts:
    return Counts().plus([(upto - timedelta(minutes=one), per_minute) for one in range(minutes)], upto)


@pytest.mark.parametrize(
    ("found", "urgency"),
    [
        (counts(Bucket(100, 0, 2), 60), Urgency.PAGE),
        (counts(Bucket(1000, 0, 7), 360), Urgency.PAGE),
        (counts(Bucket(1000, 0, 2), 3 * 24 * 60), Urgency.TICKET),
        (counts(Bucket(10_000, 0, 5), 3 * 24 * 60), None),
        (counts(Bucket(100, 0, 2), 60, NOON - 2 * HOUR), Urgency.TICKET),
        (counts(Bucket(100, 0, 2), 60, NOON - 7 * HOUR), None),
        (counts(Bucket(2, 0, 1), 4), None),
        (Counts(), None),
    ],
    ids=["fast", "slower", "slow", "within the promise", "over since", "long over", "too few to tell", "no traffic"],
)
def test_a_promise_burns_by_two_windows_at_once(found: Counts, urgency: Urgency | None) -> None:
    burning = found.burning(Promise(), NOON)
    assert [one.urgency for one in burning] == ([urgency] if urgency else [])


def test_slow_answers_burn_the_promise_of_latency_alone() -> None:
    (found,) = counts(Bucket(100, 50, 0), 60).burning(Promise(), NOON)
    assert (found.what, found.urgency) == ("latency", Urgency.PAGE)
    assert "2,800 of 5,600 requests were slow within 1 h" in str(found)


def test_counts_are_kept_for_three_days_and_read_back_as_they_were() -> None:
    found = counts(Bucket(1, 0, 0), 10)
    assert Counts.from_dict(found.to_dict()) == found
    assert found.plus([], NOON + 4 * DAY) == Counts()


def test_a_promise_that_burns_is_told_once_and_its_end_too() -> None:
    burning = counts(Bucket(100, 0, 2), 60).burning(Promise(), NOON)
    found = heard(*hearing.promises("flights", burning, Ledger(), NOON))
    assert told(found) == ["[page] flights: availability"]
    assert hearing.promises("flights", burning, found, NOON) == []
    over = heard(*hearing.promises("flights", [], found, NOON), ledger=found)
    assert told(over) == ["[over] flights: availability"]


@pytest.mark.parametrize(
    ("kind", "data", "urgency", "cause"),
    [
        ("DecayFound", {"version": 3}, Urgency.NOTIFY, "decay of v3"),
        ("DriftFound", {"drifted": ["temp"]}, Urgency.DIGEST, "drift"),
        ("VersionRolledBack", {"route": 7}, Urgency.NOTIFY, "rolled back by route 7"),
        ("ReleaseMoved", {"verdict": "hold", "challenger": 2}, Urgency.NOTIFY, "release of v2 holds"),
        ("AlertUndelivered", {"to": "me"}, Urgency.TICKET, "me is not reached"),
        ("FindingRaised", {"monitor": "input", "subject": "temp", "version": 3}, Urgency.DIGEST, "input temp of v3"),
        ("JournalDegraded", {}, Urgency.PAGE, "journal"),
        ("VersionPromoted", {}, Urgency.DIGEST, ""),
    ],
)
def test_an_event_means_what_the_table_says(kind: str, data: dict[str, Any], urgency: Urgency, cause: str) -> None:
    event = Event(kind=kind, subject="loop:flights", cause=Cause(actor="monitor", at=NOON), data=data)
    (found,) = hearing.happenings(event, memory_stores())
    assert (found.loop, found.urgency, found.cause) == ("flights", urgency, cause)
    assert kind in found.what


def moved(verdict: str, version: int = 2) -> list[Happening]:
    data = {"verdict": verdict, "challenger": version, "reason": "it errs"}
    event = Event(kind="ReleaseMoved", subject="loop:flights", cause=Cause(actor="release", at=NOON), data=data)
    return hearing.happenings(event, memory_stores())


@pytest.mark.parametrize("verdict", ["resume", "ramp", "promote", "roll back", "abort", "overtaken", "finish"])
def test_a_release_that_moves_holds_no_longer(verdict: str) -> None:
    held = heard(*moved("hold"))
    assert told(held) == ["[notify] flights: release of v2 holds"]
    assert "release of v2 holds" not in [one.cause for one in heard(*moved(verdict), ledger=held).open]


def test_who_subscribes_to_promotions_hears_of_those_by_a_release_too() -> None:
    follows = config(urgency=[], events=["VersionPromoted"])
    assert told(heard(*moved("promote"), config=follows)) == ["flights: VersionPromoted"]
    assert told(heard(*moved("ramp"), config=follows)) == []


def test_what_is_taken_back_is_told_each_time() -> None:
    ledger, said = Ledger(), []
    for version in (2, 3, 4):
        ledger = heard(*moved("hold", version), *moved("roll back", version), ledger=ledger)
        said += told(ledger)
    assert [one for one in said if "[over]" not in one] == [
        f"[notify] flights: v{one} rolled back" for one in (2, 3, 4)
    ]


def test_what_is_so_until_its_end_is_told_is_not_forgotten() -> None:
    held = heard(*moved("hold"))
    later = heard(ledger=held, now=NOON + 30 * DAY, config=config(digest="08:00"))
    assert [one.cause for one in later.open] == ["release of v2 holds"]
    assert told(later) == ["Loopwright on 2026-04-13: 1 open"]


class Place:
    """A project with `alerts.toml`, and whoever is told writes it down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.stores = folder, HandClock(NOON), memory_stores()
        self.got: list[Message] = []
        self.fails: str = ""
        (folder / "alerts.toml").write_text('[[to]]\nname = "me"\nurl = "json://127.0.0.1:9"\n', encoding="utf-8")

    def alerts(self) -> Alerts:
        return Alerts(
            stores=self.stores,
            workspace=self.folder / ".loopwright",
            project=self.folder,
            clock=self.clock,
            deliver=lambda message, _: self.take(message),
        )

    def take(self, message: Message) -> None:
        if self.fails:
            raise Undelivered(self.fails)
        self.got.append(message)

    def tell(self, kind: str, **data: Any) -> None:
        cause = Cause(actor="monitor", at=self.clock.now())
        self.stores.events.add(kind, "loop:flights", cause, data)

    def titles(self) -> Sequence[str]:
        return [one.title for one in self.got]


def test_what_happened_before_anybody_looked_is_not_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.tell("DecayFound", version=1)
    place.alerts().reconcile()
    assert place.titles() == []
    place.tell("DecayFound", version=1, number=0.5)
    place.alerts().reconcile()
    assert place.titles() == ["[notify] flights: decay of v1"]
    assert place.alerts().reconcile() == 0


def test_requests_are_counted_from_the_first_look_on_and_of_a_loop_served_later_all(tmp_path: Path) -> None:
    place = Place(tmp_path)
    served = list[Route]()
    routes: Any = SimpleNamespace(newest=lambda: served)
    place.stores = replace(place.stores, routes=routes)
    written = Failures(tmp_path / ".loopwright", place.clock)

    def fail(loop: str, times: int) -> None:
        for _ in range(times):
            version: Any = SimpleNamespace(loop=loop, number=1, digest="d", name=f"{loop} v1")
            written.note(version, Arm(name="champion", version=1, share=1.0), new_ulid(place.clock), "error", "")

    def serve(loop: str) -> None:
        served.append(Route(loop=loop, arms=(Arm(name="champion", version=1, share=1.0),), at=NOON, actor="me"))

    def failed(loop: str) -> int:
        kept = place.stores.progress.get(f"alerts-counts:{loop}")
        assert kept is not None
        return sum(one.failed for one in Counts.from_dict(kept.value["buckets"]).buckets.values())

    serve("flights")
    fail("flights", 500)
    alerts = place.alerts()
    alerts.reconcile()
    assert (failed("flights"), place.titles()) == (0, [])
    fail("flights", 3)
    serve("trains")
    fail("trains", 4)
    alerts.reconcile()
    place.alerts().reconcile()
    assert (failed("flights"), failed("trains")) == (3, 4)


def test_a_way_that_does_not_answer_is_tried_again_and_given_up_after_a_day(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.alerts().reconcile()
    place.fails = "nobody there"
    place.tell("DecayFound", version=1)
    place.alerts().reconcile()
    place.fails = ""
    place.alerts().reconcile()
    assert place.titles() == [], "it waits before it is tried again"
    place.clock.advance(11)
    place.alerts().reconcile()
    assert place.titles() == ["[notify] flights: decay of v1"]
    place.fails = "nobody there"
    place.tell("RunFailed")
    for _ in range(40):
        place.alerts().reconcile()
        place.clock.advance(3600)
    ledger = ledger_of(place.stores)
    assert ledger is not None
    assert ledger.outbox == ()
    assert [event.kind for event in place.stores.events.list(subject="alerts")] == ["AlertUndelivered"]


def test_an_end_never_comes_before_its_beginning(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.alerts().reconcile()
    place.fails = "nobody there"
    place.tell("BatchFailed")
    for _ in range(6):
        place.alerts().reconcile()
        place.clock.advance(10)
    place.fails = ""
    place.tell("BatchSucceeded")
    place.alerts().reconcile()
    assert place.titles() == ["[notify] flights: batch failed", "[over] flights: batch failed"]


def test_what_waits_behind_a_message_rests_as_long(tmp_path: Path) -> None:
    place, tried = Place(tmp_path), list[str]()

    def deliver(message: Message, _to: declare.Recipient) -> None:
        tried.append(message.title)
        raise Undelivered("nobody there")

    alerts = Alerts(stores=place.stores, workspace=tmp_path, project=tmp_path, clock=place.clock, deliver=deliver)
    alerts.reconcile()
    place.tell("BatchFailed")
    alerts.reconcile()
    place.tell("BatchSucceeded")
    for _ in range(9):
        alerts.reconcile()
        place.clock.advance(1)
    assert tried == ["[notify] flights: batch failed"] * 2, "once for each of what is due, then it rests"


def test_who_is_not_reached_is_tried_once_a_pass_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    place, tried = Place(tmp_path), list[str]()
    both = '[[to]]\nname = "off"\nurl = "json://127.0.0.1:9"\n' + (tmp_path / "alerts.toml").read_text()
    (tmp_path / "alerts.toml").write_text(both, encoding="utf-8")

    def deliver(message: Message, to: declare.Recipient) -> None:
        tried.append(to.name)
        if to.name == "off":
            raise Undelivered("nobody there")

    alerts = Alerts(stores=place.stores, workspace=tmp_path, project=tmp_path, clock=place.clock, deliver=deliver)
    alerts.reconcile()
    for version in (1, 2, 3):
        place.tell("DecayFound", version=version)
    alerts.reconcile()
    assert sorted(tried) == ["me", "me", "me", "off"]


class Dying:
    """Progress that is not written any more once a message went out."""

    def __init__(self, place: Place) -> None:
        self._place, self._real = place, place.stores.progress

    def get(self, name: str) -> Progress | None:
        return self._real.get(name)

    def list(self, prefix: str = "") -> Sequence[Progress]:
        return self._real.list(prefix)

    def put(self, progress: Progress, cause: Cause, **more: Any) -> Progress:
        if self._place.got:
            raise KeyboardInterrupt
        return self._real.put(progress, cause, **more)


def test_killed_between_sending_and_writing_it_sends_the_same_message_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.alerts().reconcile()
    place.tell("DecayFound", version=1)
    whole = place.stores
    place.stores = replace(whole, progress=Dying(place))
    with pytest.raises(KeyboardInterrupt):
        place.alerts().reconcile()
    place.stores = whole
    place.alerts().reconcile()
    assert len(place.got) == 2
    assert place.got[0].id == place.got[1].id


def test_a_silence_is_an_event_and_ends_by_hand(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.alerts().reconcile()
    cause = Cause(actor="me", at=NOON)
    silence(place.stores, Silence(pattern="flights/*", until=NOON + DAY, by="me"), cause)
    place.tell("DecayFound", version=1)
    place.alerts().reconcile()
    assert place.titles() == []
    unsilence(place.stores, "flights/*", cause)
    place.alerts().reconcile()
    assert place.titles() == ["[notify] flights: decay of v1"]
    with pytest.raises(UsageError, match="nothing is"):
        unsilence(place.stores, "flights/*", cause)
    kinds = [event.kind for event in place.stores.events.list(subject="alerts")]
    assert kinds == ["AlertsSilenced", "AlertsUnsilenced"]
