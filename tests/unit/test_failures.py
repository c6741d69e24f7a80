"""Requests that a model failed are written down, by whatever way they came; what a client did wrong is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import ROW, SCHEMA, Multiplier, Station, a_model
from tests.unit.test_hot import arms
from tests.unit.wires import Gatehouse

from loopwright.core.clock import Ulids, new_ulid
from loopwright.core.version import Arm
from loopwright.errors import PredictionNotFound
from loopwright.gateway.model import LoadedModel, Predicted
from loopwright.gateway.refused import Refused
from loopwright.gateway.watch import Hung, Watch
from loopwright.predictions import failures, finding, journal
from loopwright.predictions.failures import Failure, Failures
from loopwright.predictions.following import Follower
from loopwright.predictions.journal import Terms
from loopwright.testing import HandClock


class Broken(Multiplier):
    """Raises, with a value of a row in what it says."""

    def run(self, feed: Any) -> Any:
        raise RuntimeError(f"cannot take {next(iter(feed.values()))}")


def written(workspace: Path) -> list[Failure]:
    return list(Follower(workspace, "flights").read().failures)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path, failures=Failures(tmp_path, HandClock()))
    yield made
    made.station.close()


WAYS = pytest.mark.parametrize("plainly", [False, True], ids=["hot", "plain"])


@WAYS
@pytest.mark.parametrize(("predictor", "kind"), [(Broken(), "error"), (Multiplier(np.nan), "invalid")], ids=["e", "i"])
def test_a_request_that_a_model_fails_is_written_down_once(
    house: Gatehouse, predictor: Any, kind: str, plainly: bool
) -> None:
    house.station.promote(3, predictor)

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"rows": [ROW, ROW], "unit": "me"}, plainly=plainly)).status == 500
        assert (await house.ask({"row": {"distance": "far"}}, plainly=plainly)).status == 422

    house.run(story)
    (found,) = written(house.station.workspace)
    assert (found.kind, found.version, found.arm, found.unit, found.rows) == (kind, 3, "champion", "me", 2)
    assert "1400" not in found.reason
    with pytest.raises(PredictionNotFound, match="flights v3 failed this request as champion"):
        finding.find(house.station.workspace, found.id)


@WAYS
@pytest.mark.parametrize(("predictor", "kind"), [(Broken(), "error"), (Multiplier(np.nan), "invalid")], ids=["e", "i"])
def test_what_a_shadow_fails_is_written_down_alike(house: Gatehouse, predictor: Any, kind: str, plainly: bool) -> None:
    house.station.promote(1)
    house.station.models["flights", 2] = a_model(2, predictor)
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"rows": [ROW, ROW], "unit": "me"}, plainly=plainly)).status == 200
        for _ in range(20_000):  # a shadow has no hurry
            if house.tally.events["flights", "shadow_failed"]:
                break
            await asyncio.sleep(0.001)

    house.run(story)
    (found,) = written(house.station.workspace)
    assert (found.kind, found.version, found.arm, found.unit, found.rows) == (kind, 2, "next", "me", 2)
    assert found.shadow


@WAYS
def test_a_shadow_that_takes_other_rows_is_not_asked_and_fails_nothing(house: Gatehouse, plainly: bool) -> None:
    other = type(SCHEMA)(columns=SCHEMA.columns[:2], key=SCHEMA.key, time=SCHEMA.time)
    house.station.promote(1)
    house.station.models["flights", 2] = a_model(2, Broken(), schema=other)
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": ROW}, plainly=plainly)).status == 200
        await asyncio.sleep(0.2)

    house.run(story)
    assert written(house.station.workspace) == []
    assert house.tally.events["flights", "shadow_failed"] == 0


@WAYS
def test_a_request_that_took_too_long_is_written_down_once(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch, plainly: bool
) -> None:
    house.station.promote(1)
    house.station.models["flights", 3] = replace(a_model(3), is_stoppable=True)
    arms(house, Arm(name="champion", version=3, share=1.0))

    def hang(_watch: Watch, model: LoadedModel, *_: object) -> Predicted:
        raise Hung(model, 9.0)

    monkeypatch.setattr(Watch, "run", hang)

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": ROW}, plainly=plainly)).status == 504

    house.run(story)
    assert [(one.kind, one.rows) for one in written(house.station.workspace)] == [("timeout", 1)]


def test_a_failure_bears_the_moment_at_which_its_request_came(tmp_path: Path) -> None:
    clock = HandClock()
    made, version = Failures(tmp_path, clock), a_model(1).version
    came = clock.now()
    late, ahead = new_ulid(clock), Ulids(clock).at(came + timedelta(hours=1))
    clock.advance(30)
    for ulid in (late, ahead):  # the second by a clock that was set back since
        made.note(version, Arm(name="champion", version=1, share=1.0), ulid, "timeout", "late")
    made.close()
    assert [one.at for one in written(tmp_path)] == [came, came + timedelta(seconds=30)]


def test_files_of_failures_that_nobody_has_written_to_since_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(moment: datetime, written_at: datetime) -> None:
        made = Failures(tmp_path, HandClock(moment))
        made.note(
            a_model(1).version, Arm(name="champion", version=1, share=1.0), new_ulid(HandClock(moment)), "error", ""
        )
        made.close()
        newest = max(journal.files(tmp_path / failures.FOLDER, "flights"), key=lambda file: file.stat().st_mtime)
        os.utime(newest, (written_at.timestamp(), written_at.timestamp()))

    day, now = timedelta(days=1), datetime(2026, 5, 5, tzinfo=UTC)
    at(now - 9 * day, now - 8 * day)
    at(now - 3 * day, now)
    at(now, now)
    at(now + 9 * day, now - 9 * day)  # by a clock that was turned by hand
    read, opening = list[str](), Path.open

    def noted(file: Path, *given: Any) -> Any:
        read.append(file.name)
        return opening(file, *given)

    monkeypatch.setattr(Path, "open", noted)
    found = [one.at for one in failures.since(tmp_path, "flights", now - 2 * day)]
    assert (found, len(read)) == ([now, now + 9 * day], 3)


def test_a_shadow_that_fails_at_a_request_is_written_down_as_one(house: Gatehouse) -> None:
    house.station.promote(1)
    house.station.models["flights", 2] = a_model(2, Broken())
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))

    async def story(house: Gatehouse) -> None:
        told = (await house.ask({"row": ROW})).json["prediction"]
        for _ in range(400):
            if found := written(house.station.workspace):
                break
            await asyncio.sleep(0.01)
        assert [(one.id, one.shadow, one.kind, one.arm) for one in found] == [(told["id"][:26], True, "error", "next")]

    house.run(story)


def test_failures_are_as_many_beside_predictions_as_they_were(tmp_path: Path) -> None:
    made = Failures(tmp_path, HandClock(), Terms(share=0.0))
    station = Station(tmp_path, failures=made)
    station.promote(1, Multiplier(np.nan))
    with pytest.raises(Refused):
        station.gateway.predict("flights", [ROW])
    assert written(tmp_path) == []


def test_old_failures_go(tmp_path: Path) -> None:
    station = Station(tmp_path, failures=Failures(tmp_path, HandClock()))
    station.promote(1, Multiplier(np.nan))
    with pytest.raises(Refused):
        station.gateway.predict("flights", [ROW])
    assert station.gateway.failures is not None
    station.gateway.failures.close()
    (file,) = journal.files(tmp_path / failures.FOLDER, "flights")
    moment = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert failures.drop_old(tmp_path, moment - timedelta(days=1)) == []
    assert failures.drop_old(tmp_path, moment + timedelta(days=1)) == [file.name]
