"""Batch runs: cut into fragments, killed and resumed, put in place whole, due once, and told in the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from tests.unit.test_predict import BOUGHT, FRAME, a_bundle

from loopwright.core.event import Cause
from loopwright.core.version import VersionStatus
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import Conflict, LoopwrightError, SchemaMismatch, UsageError
from loopwright.gateway.decode import Decoded, Decoder
from loopwright.predictions import batch, history, job, splitting
from loopwright.predictions.job import Job, Order, Surroundings
from loopwright.predictions.schedule import Due, Schedule, due
from loopwright.registry.fetch import fetched
from loopwright.registry.register import register
from loopwright.testing import HandClock, memory_stores
from loopwright.transform.bundle import Bundle
from loopwright.transform.predictor import Predictor

ROWS = FRAME.with_columns(id=pl.int_range(300), shop=pl.Series(["north", "south", None] * 100))


class Place:
    """A workspace with one version, and a folder of three files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        stores = memory_stores(self.clock)
        _, self.bundle = a_bundle(folder / "sealed", LogisticRegression().fit(FRAME.to_numpy(), BOUGHT), BOUGHT)
        register(
            stores, folder / "sealed", self.bundle.manifest, Cause(actor="me", at=self.clock.now()),
            status=VersionStatus.ACCEPTED, run_id="run-1", metric="roc_auc", value=0.7, reason="",
        )  # fmt: skip
        self.tables = Tables(folder / "tables", self.clock)
        self.around = Surroundings(
            stores=stores,
            tables=lambda: self.tables,
            tables_url=str(folder / "tables"),
            workspace=folder / "workspace",
            bundles=folder / "workspace" / "bundles",
            fetch=lambda version: fetched(stores, version, folder / "workspace" / "bundles"),
            clock=self.clock,
            actor="me@here",
        )
        (folder / "in").mkdir()
        for number in range(3):
            ROWS[number * 100 : number * 100 + 100].write_parquet(folder / "in" / f"{number}.parquet")

    def order(self, **given: Any) -> Order:
        source = {"source": str(self.folder / "in" / "*.parquet")}
        return Order(loop="buys", version="newest", **source | given)

    def run(self, **given: Any) -> job.Outcome:
        return Job(self.order(**given), self.around).run()

    def online(self) -> pl.DataFrame:
        """What a gateway would answer to each row alone."""
        return answers(self.bundle)

    def hidden(self) -> list[str]:
        return sorted(one.name for one in self.folder.iterdir() if one.name.startswith("."))


def answers(bundle: Bundle) -> pl.DataFrame:
    decoder, predictor, found = Decoder(bundle.schema), Predictor.from_bundle(bundle), []
    for row in ROWS.drop("shop").to_dicts():
        decoded = decoder.decode([row])
        assert isinstance(decoded, Decoded)
        told = predictor.run(decoded.feed).take(0)
        found.append({"id": row["id"], "label": told["label"], **told["probabilities"]})
    return pl.DataFrame(found)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """To the bit."""
    ordered = found.sort("id")
    assert ordered["id"].to_list() == expected["id"].to_list()
    assert ordered["label"].to_list() == expected["label"].to_list()
    assert ordered["probability_true"].to_list() == expected["true"].to_list()


def test_a_row_alone_is_answered_to_the_bit_as_among_others(place: Place) -> None:
    """ONNX Runtime multiplies matrices of one row in another order than those of more."""
    predictor, decoder = Predictor.from_bundle(place.bundle), Decoder(place.bundle.schema)
    rows, alone = ROWS.drop("shop").to_dicts(), place.online()["true"].to_list()
    for size in (2, 3, 7, 16, 300):
        for first in range(0, 300 - size + 1, size):
            decoded = decoder.decode(rows[first : first + size])
            assert isinstance(decoded, Decoded)
            found = predictor.run(decoded.feed).probabilities
            assert found is not None
            assert found[:, 1].tolist() == alone[first : first + size]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_files_become_one_file_and_say_what_is_answered_online(place: Place, suffix: str) -> None:
    target = place.folder / f"out{suffix}"
    assert place.run(path=target).rows == 300
    reads: dict[str, Callable[..., pl.DataFrame]] = {
        ".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson
    }  # fmt: skip
    found = reads[suffix](target)
    assert found["id"].to_list() == list(range(300))
    if suffix == ".parquet":
        same(found, place.online())
    assert place.hidden() == []


def test_processes_side_by_side_say_the_same(place: Place) -> None:
    place.around = replace(place.around, workers=2)
    assert place.run(path=place.folder / "out.parquet").fragments == 3
    same(pl.read_parquet(place.folder / "out.parquet"), place.online())


def test_a_table_becomes_a_table(place: Place) -> None:
    place.tables.append(Table("visits", key="id"), ROWS)
    first = place.run(source="visits", table="scores")
    assert (first.rows, first.is_repeated) == (300, False)
    found = place.tables.read("scores")
    same(found, place.online())
    assert set(found["version"].to_list()) == {1}
    second = place.run(source="visits", table="scores")
    assert (second.rows, second.is_repeated) == (300, True)
    assert len(place.tables.read("scores")) == 300  # the same rows by the same version: nothing new
    place.run(source="visits", table="scores", due="2026-01-02T00:00:00+00:00")
    assert len(place.tables.read("scores")) == 600


def test_a_query_is_put_once_and_its_rows_laid_down(place: Place) -> None:
    base = sqlite3.connect(place.folder / "shop.db")
    base.execute("create table visits (id integer, pages integer, depth real)")
    base.executemany("insert into visits values (?, ?, ?)", ROWS.select("id", "pages", "depth").iter_rows())
    base.commit()
    base.close()
    url = f"sqlite:///{place.folder / 'shop.db'}"
    place.run(source=url, query="select * from visits where id < 300", path=place.folder / "out.parquet")
    same(pl.read_parquet(place.folder / "out.parquet"), place.online())
    (told,) = history.batches(place.around.stores.events, "buys")
    assert "select * from visits" in told.source


def test_a_folder_is_parted_by_a_column(place: Place) -> None:
    place.run(path=place.folder / "out", by="shop")
    names = sorted(str(one.relative_to(place.folder / "out")) for one in (place.folder / "out").rglob("*.parquet"))
    folders = ["shop=__HIVE_DEFAULT_PARTITION__", "shop=north", "shop=south"]
    assert names == [f"{folder}/part-0000{number}.parquet" for folder in folders for number in range(3)]
    found = pl.read_parquet(place.folder / "out" / "**" / "*.parquet", hive_partitioning=True)
    same(found, place.online())
    shops = dict(zip(ROWS["id"], ROWS["shop"], strict=True))
    assert all(shops[one["id"]] == one["shop"] for one in found.to_dicts())
    about = json.loads((place.folder / "out" / job.ABOUT).read_text())
    assert (about["rows"], about["version"], about["digest"]) == (300, 1, place.bundle.manifest.digest)


def test_a_folder_of_a_batch_is_replaced_whole_and_any_other_left_alone(place: Place) -> None:
    place.run(path=place.folder / "out")
    place.run(path=place.folder / "out", source=str(place.folder / "in" / "0.parquet"))
    assert len(pl.read_parquet(place.folder / "out" / "*.parquet")) == 100
    (place.folder / "mine").mkdir()
    (place.folder / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        place.run(path=place.folder / "mine")
    assert (place.folder / "mine" / "thesis.txt").read_text() == "years of work"


class Killed(BaseException):
    """As SIGKILL: nothing of ours runs after it."""


@pytest.mark.parametrize("kind", ["file", "folder", "parted", "table"])
def test_killed_at_every_write_it_is_resumed_and_nothing_is_done_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    targets: dict[str, dict[str, Any]] = {
        "file": {"path": place.folder / "out.parquet"},
        "folder": {"path": place.folder / "out"},
        "parted": {"path": place.folder / "out", "by": "shop"},
        "table": {"table": "scores"},
    }
    scored: list[str] = []
    rename, replaced, predict = Path.rename, Path.replace, batch.predict
    left = 0

    def count_down(move: Callable[[Path, Any], Path]) -> Callable[[Path, Any], Path]:
        """Dies before the move, or right after it."""

        def moved(self: Path, target: Any) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            done = move(self, target)
            left -= 1
            if left == 0:
                raise Killed
            return done

        return moved

    def seen(bundle: Bundle, source: Any, **given: Any) -> Any:
        scored.append(source.name)
        return predict(bundle, source, **given)

    monkeypatch.setattr(Path, "rename", count_down(rename))
    monkeypatch.setattr(Path, "replace", count_down(replaced))
    monkeypatch.setattr(batch, "predict", seen)
    kills = 0
    for left in range(1, 200):  # noqa: B007 - counted down within
        try:
            outcome = place.run(**targets[kind])
        except Killed:
            kills += 1
        else:
            break
    monkeypatch.undo()
    assert kills >= 5
    assert outcome.rows == 300
    assert scored.count(scored[-1]) <= kills
    if kind == "table":
        found = place.tables.read("scores")
    elif kind == "file":
        found = pl.read_parquet(place.folder / "out.parquet")
    else:
        found = pl.read_parquet(place.folder / "out" / "**" / "*.parquet", hive_partitioning=True)
    same(found, place.online())
    assert place.hidden() == []


def test_what_was_begun_with_rows_that_are_others_now_is_let_go(place: Place) -> None:
    bad = ROWS[200:].with_columns(pages=pl.lit(None, dtype=pl.Int64))
    bad.write_parquet(place.folder / "in" / "2.parquet")
    with pytest.raises(SchemaMismatch, match="'pages' is missing in row 1"):
        place.run(path=place.folder / "out.parquet")
    assert not (place.folder / "out.parquet").exists()
    assert len(place.hidden()) == 1  # two fragments of three
    ROWS[200:].write_parquet(place.folder / "in" / "2.parquet")
    outcome = place.run(path=place.folder / "out.parquet")  # other rows: another batch
    assert (outcome.rows, outcome.resumed) == (300, 0)
    assert place.hidden() == []  # what was begun for the same target is let go


def test_two_at_once_do_not_meddle(place: Place) -> None:
    asked = Job(place.order(path=place.folder / "out.parquet"), place.around)
    asked._staging.mkdir()
    with job._held(asked._staging), pytest.raises(Conflict, match="another process"):
        place.run(path=place.folder / "out.parquet")


def test_big_files_and_tables_are_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "FRAGMENT_ROWS", 70)
    ROWS.write_parquet(place.folder / "big.parquet", row_group_size=50)
    place.tables.append(Table("visits", key="id"), ROWS)
    for source in (str(place.folder / "big.parquet"), "visits"):
        outcome = place.run(source=source, path=place.folder / "out.parquet")
        assert outcome.fragments > 2
        same(pl.read_parquet(place.folder / "out.parquet"), place.online())


def test_no_rows_give_no_rows(place: Place) -> None:
    ROWS.head(0).write_parquet(place.folder / "none.parquet")
    assert place.run(source=str(place.folder / "none.parquet"), path=place.folder / "out.parquet").rows == 0
    assert pl.read_parquet(place.folder / "out.parquet").columns == [
        "id",
        "label",
        "probability_false",
        "probability_true",
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "to one place"),
    ({"path": Path("out.parquet"), "table": "scores"}, "to one place"),
    ({"path": Path("out.parquet"), "by": "shop"}, "parts a folder"),
    ({"table": "scores", "by": "shop"}, "parts a folder"),
    ({"path": Path("out.xls")}, "no file that can be written"),
    ({"path": Path("out"), "by": "shopp"}, "(?s)not have the column 'shopp'.*did you mean 'shop'"),
    ({"path": Path("out.csv"), "source": "vists"}, "(?s)no table of that name.*did you mean 'visits'"),
    ({"path": Path("out.csv"), "source": "nothing.csv"}, "(?s)no such file.*nothing.csv"),
]


@pytest.mark.parametrize(("given", "told"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_orders_that_cannot_be_are_refused_before_anything_is_done(
    place: Place, given: dict[str, Any], told: str
) -> None:
    place.tables.append(Table("visits", key="id"), ROWS)
    with pytest.raises(UsageError, match=told):
        place.run(**given)
    assert place.hidden() == []


def test_each_run_is_told_with_who_when_what_and_how_it_ended(place: Place) -> None:
    place.run(path=place.folder / "out.parquet")
    place.clock.advance(60)
    (place.folder / "in" / "3.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(LoopwrightError):
        place.run(path=place.folder / "out.parquet")
    ROWS.drop("depth").write_parquet(place.folder / "less.parquet")
    with pytest.raises(SchemaMismatch):
        place.run(source=str(place.folder / "less.parquet"), path=place.folder / "out.parquet")
    failed, done = history.batches(place.around.stores.events, "buys")
    assert (done.status, done.rows, done.actor, done.version) == ("succeeded", 300, "me@here", 1)
    assert (done.target, done.ended_at) == (str(place.folder / "out.parquet"), done.began_at)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "'depth'" in failed.error


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def met(clock: HandClock, every: timedelta, jumps: list[float], *, catch_up: bool = False) -> list[Due]:
    """What a schedule met while the clock was set so: a jump each time it looked."""
    found: list[Due] = []
    looks = iter(jumps)

    def is_over() -> bool:
        jump = next(looks, None)
        clock.jump(jump or 0)
        return jump is None

    Schedule(clock, every, None, catch_up=catch_up).follow(found.append, is_over)
    return found


def test_every_due_time_is_met_once_as_time_goes_by() -> None:
    clock = HandClock(MIDNIGHT + timedelta(hours=15))
    found = met(clock, DAY, [0.0] * 3 * 24 * 120)  # three days of looking every half minute
    assert [one.at for one in found] == [MIDNIGHT + number * DAY for number in (1, 2, 3)]
    assert [one.missed for one in found] == [0, 0, 0]


@pytest.mark.parametrize(("jump", "times"), [(3600.0, 1), (365 * 86400.0, 1), (-3600.0, 0), (-365 * 86400.0, 0)])
def test_a_clock_that_jumps_makes_nothing_due_twice(jump: float, times: int) -> None:
    clock = HandClock(MIDNIGHT + timedelta(minutes=30))
    found = met(clock, HOUR, [0, jump, 0, -jump, 0, jump, 0, 0])
    assert len(found) == len({one.at for one in found})
    assert len(found) == max(times, 1 if jump < 0 else times) - (1 if jump < 0 else 0)


def test_of_times_that_passed_unseen_the_newest_is_met_or_all_of_them() -> None:
    year = 365 * 86400.0
    (newest,) = met(HandClock(MIDNIGHT), DAY, [0, year, 0])
    assert newest == Due(MIDNIGHT + 365 * DAY, missed=364)
    every = met(HandClock(MIDNIGHT), DAY, [0, year, *[0.0] * 400], catch_up=True)
    assert [one.at for one in every] == [MIDNIGHT + number * DAY for number in range(1, 366)]


def test_set_back_the_clock_waits_until_it_is_where_it_was() -> None:
    assert due(MIDNIGHT, MIDNIGHT - 400 * DAY, DAY) is None
    assert due(MIDNIGHT, MIDNIGHT + 23 * HOUR, DAY) is None
    assert due(MIDNIGHT, MIDNIGHT + DAY, DAY) == Due(MIDNIGHT + DAY)


def test_a_schedule_says_when_it_is_next_due() -> None:
    clock = HandClock(MIDNIGHT + HOUR)
    assert Schedule(clock, DAY, None).next_at == MIDNIGHT + DAY
    assert Schedule(clock, DAY, MIDNIGHT - 3 * DAY).next_at == MIDNIGHT
    assert Schedule(clock, DAY, MIDNIGHT - 3 * DAY, catch_up=True).next_at == MIDNIGHT - 2 * DAY


def test_a_schedule_that_is_started_again_meets_nothing_a_second_time(place: Place) -> None:
    target = str(place.folder / "out.parquet")
    place.run(path=Path(target), due=MIDNIGHT.isoformat(), schedule=target, missed=2)
    assert history.last_due(place.around.stores.events, "buys", target) == MIDNIGHT
    assert history.last_due(place.around.stores.events, "buys", "elsewhere") is None
    (told,) = history.batches(place.around.stores.events, "buys")
    assert (told.due, told.missed) == (MIDNIGHT.isoformat(), 2)


def test_a_batch_that_fails_stops_no_schedule(caplog: pytest.LogCaptureFixture) -> None:
    clock, seen = HandClock(MIDNIGHT), list[Due]()
    looks = iter(range(300))

    def meet(due: Due) -> None:
        seen.append(due)
        raise OSError("the disk is full")

    Schedule(clock, HOUR, None).follow(meet, lambda: next(looks, None) is None)
    assert len(seen) == 2
    assert "the disk is full" in caplog.text
