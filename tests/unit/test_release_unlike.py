"""Challengers that were trained on rows unlike those they are asked about, where the champion was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.releasing import CALM as PLAN
from tests.unit.releasing import seen, started, step
from tests.unit.street import Street

from loopwright.data.against import Trained
from loopwright.data.profile import Profile
from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import Statistics, TableProfile
from loopwright.rollout.asking import ask
from loopwright.rollout.controller import decide
from loopwright.rollout.decision import Verdict
from loopwright.rollout.facts import Move
from loopwright.rollout.plan import Canary
from loopwright.rollout.replay import Record, plan_from_dict, plan_to_dict, replay
from loopwright.rollout.replaying import replayed
from loopwright.rollout.state import SHADOW, ReleaseState, Status
from loopwright.rollout.unlike import WINDOW, unlike

KM = 1.609344


def drawn(rows: int, seed: int, *, times: float = 1.0, warmer: float = 0.0) -> dict[str, list[Any]]:
    """Rows of flights: miles by default, and the weather of a season."""
    draw = np.random.default_rng(seed)
    miles = draw.choice([200, 733, 1_089, 1_400, 2_475], rows) + draw.integers(0, 40, rows)
    return {
        "distance": [round(one * times) for one in miles.tolist()],
        "temp": (draw.normal(10 + warmer, 5, rows)).tolist(),
        "carrier": draw.choice(["AA", "B6", "UA"], rows).tolist(),
        "flight_id": [f"{seed}-{number}" for number in range(rows)],
        "email": [f"{seed}-{number}@example.org" for number in range(rows)],
        "departs": list(range(seed * 10**12, seed * 10**12 + rows)),
    }


KINDS: dict[str, Any] = {
    "distance": "integer",
    "temp": "float",
    "carrier": "string",
    "flight_id": "string",
    "email": "string",
    "departs": "time",
}
CONTRACT = Schema(
    columns=tuple(
        Column(name=name, kind=kind, missing=False, tags=("pii",) if name == "email" else ())
        for name, kind in KINDS.items()
    ),
    key=("flight_id",),
    time="departs",
)


def trained(name: str, seed: int, rows: int = 8_000, **more: float) -> Trained:
    profile = Profile(KINDS)
    profile.update(drawn(rows, seed, **more))
    profile.flush()
    return Trained(name=name, profile=profile, schema=CONTRACT)


def asked(seed: int = 99, rows: int = WINDOW, **more: float) -> list[dict[str, Any]]:
    found = drawn(rows, seed, **more)
    return [{name: found[name][at] for name in found} for at in range(rows)]


def test_kilometres_for_miles_are_told_in_words() -> None:
    found = unlike(asked(), trained("v7", 1, times=KM), trained("v5", 2))
    assert list(found) == ["distance"]
    assert "against v7's training rows, 0.0" in found["distance"]
    assert "against v5's (Jensen-Shannon, 500 rows asked)" in found["distance"]


ALIKE = [
    ("what moved against both", asked(warmer=15.0), trained("v7", 1), trained("v5", 2)),
    ("less weather in the champion's rows", asked(warmer=9.0), trained("v7", 1, warmer=8.0), trained("v5", 2)),
    ("a champion in kilometres", asked(), trained("v7", 1), trained("v5", 2, times=KM)),
    ("a season more", asked(), trained("v7", 1, warmer=2.0), trained("v5", 2)),
    ("keys, times and what is hidden", asked(seed=5), trained("v7", 1), trained("v5", 5)),
]


@pytest.mark.parametrize(("rows", "challenger", "champion"), [one[1:] for one in ALIKE], ids=[one[0] for one in ALIKE])
def test_nothing_is_told_where_the_challenger_is_not_alone(
    rows: list[dict[str, Any]], challenger: Trained, champion: Trained
) -> None:
    assert unlike(rows, challenger, champion) == {}


def test_no_retrained_version_is_told_of_in_twenty_windows() -> None:
    challenger, champion = trained("v7", 1, warmer=1.0), trained("v5", 2)
    assert not any(unlike(asked(seed), challenger, champion) for seed in range(100, 120))


def test_values_of_another_type_are_not_compared() -> None:
    rows = [one | {"distance": "far"} for one in asked()]
    assert unlike(rows, trained("v7", 1, times=KM), trained("v5", 2)) == {}


def test_it_is_a_ground_of_its_own_and_can_be_decided_again() -> None:
    before = started()
    state, decision = step(before, hours=0.1, skewed="distance: 0.54 against v2's training rows, 0.02 against v1's")
    assert (decision.verdict, state.status) == (Verdict.ROLL_BACK, Status.ROLLED_BACK)
    assert decision.reason.startswith("v2 was trained on rows unlike those it is asked about: distance: 0.54")


def test_what_was_stored_before_there_was_this_ground_can_be_read() -> None:
    before, facts = started(), seen(started(), hours=0.1)
    told = Record.of(PLAN, before, facts, decide(PLAN, before, facts)[1]).to_dict()
    del told["facts"]["skewed"]
    assert replay(Record.from_dict(told)).verdict is Verdict.STAY


def statistics(times: float) -> dict[str, str]:
    """Of a version that was trained on x about 1, times so much."""
    profile = TableProfile({"x": "float"})
    Profile.update(profile, {"x": np.random.default_rng(4).normal(1.0, 0.2, 5_000) * times})
    return {"statistics.json": Statistics.of(profile).to_json()}


def gone(folder: Path, times: float, plan: Canary, *, forgets: bool = False, hours: int = 14) -> tuple[Street, Any]:
    """A hundred rows an hour, all of them about 1."""
    street = Street(folder, beside=(statistics(1.0), statistics(times)))
    street.start(plan)
    live(street, hours, forgets=forgets)
    return street, street.standing().state


def live(street: Street, hours: int, *, forgets: bool = False) -> None:
    draw = np.random.default_rng(5)
    for _ in range(hours):
        for value in draw.normal(1.0, 0.2, 100).tolist():
            street.clock.advance(36)
            street.scored(f"unit-{street.asked}", {1: 0.3, 2: 0.3}, None, {"x": value})
        if forgets:
            street.reconciler = street.another()
        street.reconciler.reconcile()


UNHEARD, HEARD = Canary(shadow="3d", shares=[0.25, 1.0]), Canary(hold="3d", shares=[0.25, 1.0])


@pytest.mark.parametrize("forgets", [False, True], ids=["one controller", "another each pass"])
@pytest.mark.parametrize("plan", [UNHEARD, HEARD], ids=["shadow", "ramp"])
def test_a_version_trained_on_other_units_is_taken_back_after_two_windows(
    tmp_path: Path, plan: Canary, *, forgets: bool
) -> None:
    street, state = gone(tmp_path, KM, plan, forgets=forgets)
    assert isinstance(state, ReleaseState)
    assert state.ended is Status.ROLLED_BACK
    last = street.moves()[-1].cause
    assert last.reason.startswith("v2 was trained on rows unlike those it is asked about: x: ")
    assert "against v2's training rows" in last.reason
    assert state.stage == (SHADOW if plan is UNHEARD else 0)
    counted = state.scored if plan is UNHEARD else state.requests.canary + state.requests.champion
    assert 900 < counted <= 1_100
    assert all(one.is_same for one in replayed(street.stores, street.stores.releases.get(state.loop)))


@pytest.mark.parametrize("plan", [UNHEARD, HEARD], ids=["shadow", "ramp"])
def test_a_version_trained_on_other_units_is_held_where_the_plan_says_so_and_goes_on_once_resumed(
    tmp_path: Path, plan: Canary
) -> None:
    shadow = "10h" if plan is UNHEARD else None
    street, state = gone(tmp_path, KM, Canary(shadow=shadow, hold="10h", shares=[0.25, 1.0], unlike="hold"))
    assert (street.verdicts(), state.status) == (["begin", "hold"], Status.HOLDING)
    assert "v2 was trained on rows unlike those it is asked about: x: " in street.moves()[-1].cause.reason
    ask(street.stores, state.loop, Move.RESUME, street.cause())
    live(street, 25)
    assert street.verdicts() == ["begin", "hold", "resume", *(["ramp"] if plan is UNHEARD else [])]
    assert street.standing().state.status is Status.RAMPING
    assert all(one.is_same for one in replayed(street.stores, street.stores.releases.get(state.loop)))


def test_a_plan_of_before_there_was_a_choice_takes_back() -> None:
    told = plan_to_dict(Canary(unlike="hold"))
    del told["unlike"]
    assert plan_from_dict(told) == Canary()


def test_a_version_trained_on_like_rows_goes_on(tmp_path: Path) -> None:
    assert gone(tmp_path, 1.05, HEARD)[1].ended is None
