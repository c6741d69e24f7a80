"""The wheel turns without a hand, with real processes: and no kill, no lost store and no broken version harms it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.journey.shopkeeping import LOOP, Shop, kept, lay
from tests.journey.test_workers import until

from loopwright.predictions import reading
from loopwright.predictions.joining import joined

SEED = 5
CONTROLLER, GATEWAY, TRAINER = "release", "gateway", "trainer"
ONCE = ("LoopDeployed", "DecayFound")
INCIDENTS = {f"{LOOP}/decay of v1", f"{LOOP}/v1 rolled back"}
RAMPED = ["begin", "ramp", "promote", "finish"]


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is deployed, to be copied."""
    folder = tmp_path_factory.mktemp("laid") / "shop"
    lay(folder)
    return folder


@dataclass(frozen=True)
class Lived:
    """What is to be the same however it was lived."""

    verdicts: tuple[str, ...]
    releases: tuple[tuple[int, int | None, str], ...]
    arms: tuple[tuple[str, int, float], ...]
    retrainings: tuple[tuple[str, str, int | None, str], ...]
    versions: tuple[tuple[int, str], ...]
    runs: int
    told: tuple[tuple[str, int], ...]
    """Events of which each is told once."""

    @classmethod
    def of(cls, shop: Shop) -> Lived:
        stores, kinds = shop.opened.stores, shop.kinds()
        route = stores.routes.current(LOOP)
        assert route is not None
        named = (*ONCE, "RetrainingClaimed", "RetrainingSucceeded", "VersionRegistered", "ReleaseMoved")
        return cls(
            verdicts=tuple(shop.verdicts()),
            releases=tuple((one.challenger, one.champion, one.status) for one in stores.releases.list(LOOP)),
            arms=tuple((arm.name, arm.version, round(arm.share, 6)) for arm in route.arms),
            retrainings=tuple(
                (one.trigger, one.status.value, one.version, one.evidence["start"])
                for one in stores.retrainings.list(LOOP)
            ),
            versions=tuple((one.number, one.status.value) for one in stores.versions.list(LOOP)),
            runs=len(stores.runs.list()),
            told=tuple((kind, kinds[kind]) for kind in named),
        )


Look = Callable[[str, Shop], None]
"""What is looked at, at a turn of that name."""


def unseen(_turn: str, _shop: Shop) -> None:
    """Nobody looks."""


def learn(shop: Shop, look: Look) -> None:
    """The first model serves a calm window; then the rule turns round, and it learns again."""
    until(lambda: shop.serves(1))
    shop.window(600)
    look("calm", shop)
    shop.is_turned = True
    shop.window(600)
    until(lambda: shop.kinds()["DecayFound"])
    assert len(shop.opened.stores.retrainings.list(LOOP)) == 1  # too few labels since
    look("decayed", shop)
    shop.window(600)
    until(lambda: len(shop.opened.stores.retrainings.list(LOOP)) == 2)
    for name in (TRAINER, "retrain"):
        shop.blows.at_work(name, shop.started, 1.0)
    until(lambda: not shop.opened.stores.retrainings.unfinished())
    until(lambda: shop.release is not None and shop.release.challenger == 2)


def ramp(shop: Shop, look: Look = unseen, *, most_hours: int = 14, count: int = 1400) -> None:
    """From the shadow to its end."""
    for hour in range(most_hours):
        state = shop.standing().state
        if state.ended is not None:
            return
        look(f"stage {state.stage}", shop)
        shop.hour(count, kills=() if hour % 2 else (CONTROLLER, GATEWAY))
    raise AssertionError(shop.standing().state.decisions)


def assert_nothing_doubled(shop: Shop) -> None:
    """Each prediction that somebody was told is in the log once, and met its label once."""
    lines = reading.read(shop.opened.workspace, LOOP, shadows=True).lines
    counts = Counter((one.id, one.version, one.shadow) for one in lines)
    assert set(counts.values()) == {1}
    assert set(shop.answers.values()) <= {one.id for one in lines if not one.shadow}
    met = joined(shop.opened.workspace, LOOP).filter(pl.col("id").is_in(list(shop.answers.values())))
    assert len(met) == len(shop.answers) == met["id"].n_unique()
    assert met["label"].null_count() == 0


def whole_life(folder: Path, seed: int | None, look: Look = unseen) -> Lived:
    """To the promotion of what it learned, with a broken version after it that somebody released."""
    with kept(folder, seed) as shop:
        learn(shop, look)
        ramp(shop, look)
        until(lambda: shop.serves(2))
        look("promoted", shop)
        lived = Lived.of(shop)
        release_the_old_rule(shop)
        look("rolled back", shop)
        assert_nothing_doubled(shop)
        assert (len(shop.blows.struck) >= 4) is (seed is not None)
        return lived


def release_the_old_rule(shop: Shop) -> None:
    """The first version knows the rule from before: in the hands of customers it does nothing but harm."""
    told = shop.say("release", "start", LOOP, "1", "--no-shadow", "--because", "by mistake")
    assert told["challenger"] == 1
    ramp(shop, count=300)
    until(lambda: shop.serves(2))
    assert shop.verdicts()[-2:] == ["begin", "roll back"]
    assert shop.standing().state.requests.canary < 200


@dataclass
class Seen:
    """What the words of the command line said at each turn, and the life they said it of."""

    told: dict[str, Any] = field(default_factory=dict)
    lived: Lived | None = None

    def look(self, turn: str, shop: Shop) -> None:
        if turn in self.told:
            return
        told: dict[str, Any] = {"release": None}
        if turn in ("calm", "decayed", "promoted"):
            told |= {"why-not": shop.say("why-not", LOOP), "monitor": shop.say("monitor", LOOP)}
        if turn in ("stage -1", "stage 0", "promoted", "rolled back"):
            told |= {"release": shop.say("release", "status", LOOP)}
        if turn == "rolled back":
            until(lambda: incidents(shop) >= INCIDENTS)
            told |= {"alerts": incidents(shop)}
            told |= {"why": [shop.say("why", one) for one in of_each_arm(shop)]}
        self.told[turn] = told


def incidents(shop: Shop) -> set[str]:
    return {one["key"] for one in shop.say("alerts", "list", "--all")["incidents"]}


def of_each_arm(shop: Shop) -> list[str]:
    """A prediction of each version in each arm."""
    lines = reading.read(shop.opened.workspace, LOOP).lines
    found = {(line.arm, line.version): line.id for line in lines}
    assert {("champion", 1), ("challenger", 2), ("champion", 2), ("challenger", 1)} <= set(found)
    return list(found.values())


@pytest.fixture(scope="module")
def seen(laid: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A life that nobody disturbs, and everybody looks at."""
    made = Seen()
    made.lived = whole_life(Path(shutil.copytree(laid, tmp_path_factory.mktemp("seen") / "shop")), None, made.look)
    return made


def test_the_wheel_turns_without_a_hand(seen: Seen) -> None:
    lived = seen.lived
    assert lived is not None
    assert lived.verdicts == ("promote", *RAMPED)
    assert lived.releases == ((2, 1, "promoted"), (1, None, "promoted"))
    assert [one[:3] for one in lived.retrainings] == [("on_decay", "succeeded", 2), ("new code", "succeeded", 1)]
    assert (lived.runs, lived.versions) == (2, ((2, "accepted"), (1, "accepted")))
    told = {"LoopDeployed": 1, "DecayFound": 1, "RetrainingClaimed": 2, "RetrainingSucceeded": 2}
    assert dict(lived.told) == told | {"VersionRegistered": 2, "ReleaseMoved": 5}


def test_at_each_turn_the_command_line_says_what_is_so(seen: Seen) -> None:
    calm, decayed, done, back = (seen.told[turn] for turn in ("calm", "decayed", "promoted", "rolled back"))
    assert level(calm, "quality", "roc_auc") == level(calm, "quality", "decay") == "fine"
    assert level(decayed, "quality", "decay") == level(decayed, "quality", "roc_auc") == "alarmed"
    assert [one["is_due"] for told in (calm, decayed, done) for one in told["why-not"]["triggers"]] == [False] * 6
    assert "0 of 300 labels" in decayed["why-not"]["triggers"][1]["waits_for"]
    assert done["why-not"]["champion"] == f"{LOOP} v2"
    unheard, heard = seen.told["stage -1"]["release"], seen.told["stage 0"]["release"]
    assert (unheard["share"], heard["share"], heard["challenger"]) == (0.0, 0.2, 2)
    assert unheard["missing"]
    assert heard["missing"]
    assert (done["release"]["status"], done["release"]["ended_at"] is None) == ("promoted", False)
    assert (back["release"]["status"], back["release"]["challenger"]) == ("rolled back", 1)
    assert back["alerts"] >= INCIDENTS


def level(told: dict[str, Any], monitor: str, subject: str) -> str:
    [found] = [one for one in told["monitor"] if (one["monitor"], one["subject"]) == (monitor, subject)]
    return str(found["level"])


def test_a_prediction_of_each_arm_leads_to_its_code_and_its_data(seen: Seen) -> None:
    for told in seen.told["rolled back"]["why"]:
        version = told["version"]
        assert version["number"] == told["prediction"]["version"]
        assert version["lineage"]["data"]["table"] == "visits"
        assert version["lineage"]["code"]
        assert version["lineage"]["deployment"] == 1


def test_killed_at_every_turn_it_comes_to_the_same_end_as_one_that_nobody_touched(
    laid: Path, seen: Seen, tmp_path: Path
) -> None:
    assert whole_life(Path(shutil.copytree(laid, tmp_path / "struck")), SEED) == seen.lived
