"""Whoever follows a loop meets each line once, in whatever order files are written, closed, compacted and read."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pyarrow as pa
import pytest

from loopwright.core.clock import new_ulid
from loopwright.core.version import Arm, Version
from loopwright.errors import StoreUnavailable, UsageError
from loopwright.predictions import (
    backlog,
    columnar,
    compaction,
    erasing,
    failures,
    following,
    journal,
    labels,
    layout,
    reading,
    tailing,
)
from loopwright.predictions.backlog import Backlog
from loopwright.predictions.columnar import Facts
from loopwright.predictions.failures import Failures
from loopwright.predictions.following import Followed, Follower
from loopwright.predictions.journal import Journal, Line
from loopwright.predictions.labels import Label
from loopwright.predictions.tailing import Tail
from loopwright.testing import HandClock

LOOP = "flights"


def kinds(_version: int) -> dict[str, str]:
    return {"distance": "integer", "carrier": "string"}


@dataclass
class Scene:
    """A workspace at which several writers are at work, and what they wrote."""

    workspace: Path
    chance: random.Random
    clock: HandClock = field(default_factory=HandClock)
    written: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    halves: list[tuple[int, bytes, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.workspace / journal.FOLDER
        self.journals = [Journal(self.root, self.clock, limit_bytes=2000) for _ in range(3)]
        self.tellers = [Journal(self.workspace / labels.FOLDER, self.clock, limit_bytes=300) for _ in range(2)]
        self.failures = Failures(self.workspace, self.clock)
        self.version = cast("Version", SimpleNamespace(loop=LOOP, number=1, digest="d" * 8, name=f"{LOOP} v1"))

    def line(self, ulid: str, row: int = 0, *, shadow: bool = False) -> Line:
        wide = {"distance": self.chance.randrange(9), "carrier": self.chance.choice(["UA", None])}
        return Line(
            id=f"{ulid}.{row}",
            at=self.clock.now(),
            loop=LOOP,
            version=1,
            digest="d" * 8,
            arm="shadow" if shadow else "champion",
            row=self.chance.choice([wide, {"distance": 1}]),
            label=self.chance.choice([True, False]),
            latency_ms=1.5,
            route=4,
            shadow=shadow,
        )

    def write(self) -> None:
        one = self.chance.choice(self.journals)
        ulid, shadow = one.new_id(), self.chance.random() < 0.3
        made = [self.line(ulid, row, shadow=shadow) for row in range(self.chance.randrange(1, 5))]
        one.append(LOOP, made)
        self.written += [line.id for line in made]

    def write_columns(self) -> None:
        one, count = self.chance.choice(self.journals), self.chance.randrange(1, 6)
        ulid = one.new_id()
        facts = Facts(ulid=ulid, at=self.clock.now(), loop=LOOP, version=1, digest="d" * 8, arm="champion")
        rows = {"distance": pa.array(range(count), pa.int64())}
        one.append_table(LOOP, ulid, columnar.recorded(facts, rows, value=pa.array([0.5] * count)))
        self.written += [f"{ulid}.{row}" for row in range(count)]

    def begin_half(self) -> None:
        """A writer in the middle of a line."""
        folder = journal.folder_of(self.root, LOOP)
        folder.mkdir(parents=True, exist_ok=True)
        ulid = new_ulid(self.clock)
        line = self.line(ulid)
        text = msgspec.json.encode(line) + b"\n"
        file = os.open(folder / f".{ulid}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        fcntl.flock(file, fcntl.LOCK_EX)
        (folder / f".{ulid}.jsonl").rename(folder / f"{ulid}.jsonl")
        cut = self.chance.randrange(1, len(text))
        os.write(file, text[:cut])
        self.halves.append((file, text[cut:], line.id))

    def end_half(self) -> None:
        if self.halves:
            file, rest, name = self.halves.pop(self.chance.randrange(len(self.halves)))
            is_whole = self.chance.random() < 0.7
            if is_whole:
                os.write(file, rest)
            if is_whole or rest == b"\n":  # all of it is there but its end
                self.written.append(name)
            os.close(file)

    def fail(self) -> None:
        self.failed.append(new_ulid(self.clock))
        self.failures.note(self.version, Arm(name="canary", version=1, share=0.5), self.failed[-1], "error", "KeyError")

    def tell(self) -> None:
        self.told.append(new_ulid(self.clock) + ".0")
        made = Label(label=True, at=self.clock.now(), origin="HTTP", prediction_id=self.told[-1])
        self.chance.choice(self.tellers).append(LOOP, [made])

    def close(self) -> None:
        self.clock.advance(61)
        self.chance.choice([*self.journals, *self.tellers]).close_old()

    def turn(self) -> None:
        """The clock is set, forwards or back."""
        self.clock.jump(self.chance.choice([-3600, 1, 86_400]))

    def compact(self) -> None:
        compaction.compact(self.root, LOOP, kinds=kinds, clock=self.clock)

    def compact_and_be_killed(self) -> None:
        """After a commit, before the files went."""
        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
            commit = compaction._commit

            def committed(*given: Any) -> int:
                commit(*given)
                raise KeyboardInterrupt

            patch.setattr(compaction, "_commit", committed)
            compaction.compact(self.root, LOOP, kinds=kinds, clock=self.clock)

    def erase(self) -> None:
        """A label; its place in the file stays."""
        found = [one for one in self.told if one not in self.erased]
        if found:
            self.erased.add(self.chance.choice(found))
            with suppress(StoreUnavailable):
                named, root = next(iter(self.erased)), self.workspace / labels.FOLDER
                erasing._erase_labels(root, LOOP, lambda one: one.prediction_id == named, self.clock, 0)

    def rest(self) -> None:
        time.sleep(0.03)

    def something(self) -> None:
        """While somebody reads."""
        if self.chance.random() < 0.15:
            for doing in self.chance.choices(["write", "close", "compact", "begin_half", "end_half"], k=3):
                getattr(self, doing)()

    def end(self) -> None:
        while self.halves:
            self.end_half()
        for one in (*self.journals, *self.tellers):
            one.close()
        self.failures.close()


@dataclass
class Reader:
    """Reads on from its own cursors; any of them may be taken up again by somebody else."""

    scene: Scene
    met: list[Followed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.follower = Follower(self.scene.workspace, LOOP)

    def read(self) -> Followed:
        chance = self.scene.chance
        cursor = self.met[-1].cursor if self.met else ""
        most, rows = chance.choice([None, 1, 3, 10]), chance.random() < 0.7
        self.met.append(self.follower.read(cursor, most, rows=rows))
        return self.met[-1]

    def be_killed(self) -> None:
        self.follower = Follower(self.scene.workspace, LOOP)

    def go_back(self) -> None:
        self.be_killed()
        del self.met[self.scene.chance.randrange(len(self.met) + 1) :]

    def finish(self) -> None:
        while self.read().is_more:
            pass

    @property
    def lines(self) -> list[str]:
        return [line.id for found in self.met for line in found.lines]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is done once there is much of something is done for little."""
    monkeypatch.setattr(following, "_KEPT", 2)
    monkeypatch.setattr(following, "_SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(tailing, "_SURE_SECONDS", 0.02)
    monkeypatch.setattr(tailing, "_BLOCK_BYTES", 700)
    monkeypatch.setattr(compaction, "_SMALL_FILES", 3)
    monkeypatch.setattr("loopwright.predictions.backlog._GROUP_ROWS", 7)


def in_order(met: list[Followed]) -> bool:
    """Whether each writer's lines came in the order of their ids: here, those of one random part of a ULID."""
    places: dict[str, tuple[str, int]] = {}
    for found in met:
        for line in found.lines:
            ulid, row = line.id.split(".")
            if places.get(ulid, ("", -1)) >= (ulid, int(row)):
                return False
            places[ulid] = (ulid, int(row))
    return True


def amid(scene: Scene, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with something going on before and after it."""

    def done(*given: Any, **named: Any) -> Any:
        scene.something()
        found = work(*given, **named)
        scene.something()
        return found

    return done


DOINGS = ("write", "write", "write", "write_columns", "begin_half", "end_half", "fail", "tell", "close", "turn", "rest")


@pytest.mark.parametrize("seed", range(10))
def test_each_line_is_met_once_in_any_order_of_writing_closing_compacting_and_dying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    names = SimpleNamespace(randbits=random.Random(seed).getrandbits)
    monkeypatch.setattr("loopwright.core.clock.secrets", names)
    scene = Scene(tmp_path, chance)
    reader = Reader(scene)
    for kind, name in ((Backlog, "after"), (Backlog, "rows"), (Backlog, "newest"), (Tail, "files"), (Tail, "_meet")):
        monkeypatch.setattr(kind, name, amid(scene, getattr(kind, name)))
    for _ in range(80):
        doing = chance.choice([*DOINGS, "compact", "compact_and_be_killed", "read", "read", "be_killed", "go_back"])
        getattr(reader if hasattr(reader, doing) else scene, doing)()
    monkeypatch.setattr(scene, "something", lambda: None)
    scene.end()
    reader.finish()
    if chance.random() < 0.5:
        scene.compact()
    reader.finish()
    lost, doubled = Counter(scene.written) - Counter(reader.lines), Counter(reader.lines) - Counter(scene.written)
    assert (lost, doubled) == (Counter(), Counter())
    assert in_order(reader.met)
    assert [one.id for found in reader.met for one in found.failures] == scene.failed
    assert Counter(one.prediction_id for found in reader.met for one in found.labels) == Counter(scene.told)
    late = Follower(tmp_path, LOOP).read()
    assert Counter(line.id for line in late.lines) == Counter(scene.written)
    assert reader.read().lines == []


@pytest.mark.parametrize("seed", range(8))
def test_from_the_end_on_comes_what_is_told_after_it_and_nothing_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    scene, doings = Scene(tmp_path, chance), [*DOINGS, "compact", "compact_and_be_killed"]
    for _ in range(chance.randrange(60)):
        getattr(scene, chance.choice(doings))()
    before = len(scene.written), len(scene.failed), len(scene.told)
    with monkeypatch.context() as patch:
        for kind, name in ((Backlog, "after"), (Backlog, "newest"), (Tail, "files"), (Tail, "end")):
            patch.setattr(kind, name, amid(scene, getattr(kind, name)))
        cursor = Follower(tmp_path, LOOP).at_end()
    meanwhile, reader = len(scene.written), Reader(scene)
    reader.met.append(Followed([], [], [], cursor))
    for _ in range(40):
        doing = chance.choice([*doings, "read", "read", "be_killed"])
        getattr(reader if hasattr(reader, doing) else scene, doing)()
    scene.end()
    scene.compact()
    reader.finish()
    met, doubled = Counter(reader.lines), Counter(scene.written[: before[0]])
    assert (met & doubled, Counter(scene.written[meanwhile:]) - met) == (Counter(), Counter())
    assert max(met.values(), default=1) == 1
    assert [one.id for found in reader.met for one in found.failures] == scene.failed[before[1] :]
    assert Counter(one.prediction_id for found in reader.met for one in found.labels) == Counter(
        scene.told[before[2] :]
    )


def test_the_end_is_found_without_reading_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, 20, is_table=True)
    many(tmp_path, 20)
    growing = Journal(tmp_path / journal.FOLDER, HandClock())
    line = Scene(tmp_path, random.Random(1)).line(growing.new_id())
    growing.append(LOOP, [line] * 20)
    with monkeypatch.context() as patch:
        for place, name in ((tailing, "_decode"), (backlog, "lines"), (Backlog, "rows"), (Backlog, "_files")):
            patch.delattr(place, name)
        cursor = Follower(tmp_path, LOOP).at_end()
    assert Follower(tmp_path, LOOP).read(cursor).lines == []
    growing.append(LOOP, [line])
    assert len(Follower(tmp_path, LOOP).read(cursor).lines) == 1
    assert len(Follower(tmp_path, LOOP).read().lines) == 61


def many(workspace: Path, count: int, *, is_table: bool = False) -> None:
    clock = HandClock()
    made = Journal(workspace / journal.FOLDER, clock)
    ids = [made.new_id() for _ in range(count)]
    row = {"distance": 5, "carrier": "UA"}
    made.append(LOOP, [Line(id=f"{one}.0", at=clock.now(), loop=LOOP, version=1, digest="d", arm="a", row=row,
                            label=True, probabilities={"true": 0.75}) for one in ids])  # fmt: skip
    made.close()
    if is_table:
        compaction.compact(workspace / journal.FOLDER, LOOP, kinds=kinds, clock=clock)


@pytest.mark.parametrize("is_table", [False, True], ids=["journal", "table"])
def test_rows_are_left_out_where_nobody_wants_them(tmp_path: Path, is_table: bool) -> None:
    many(tmp_path, 3, is_table=is_table)
    follower = Follower(tmp_path, LOOP)
    assert [dict(line.row) for line in follower.read().lines] == [{"distance": 5, "carrier": "UA"}] * 3
    bare = follower.read(rows=False).lines
    assert [(dict(line.row), line.label, line.probabilities) for line in bare] == [({}, True, {"true": 0.75})] * 3


@pytest.mark.parametrize("is_table", [False, True], ids=["journal", "table"])
def test_as_many_as_are_asked_for_come_at_once(tmp_path: Path, is_table: bool) -> None:
    many(tmp_path, 50, is_table=is_table)
    cursor, sizes, ids = "", [], []
    while True:
        found = Follower(tmp_path, LOOP).read(cursor, 7)
        sizes.append(len(found.lines))
        ids += [line.id for line in found.lines]
        cursor = found.cursor
        if not found.is_more:
            break
    assert max(sizes) <= 7
    assert ids == sorted(ids)
    assert len(ids) == 50


def test_a_cursor_stays_small_where_files_come_and_go(tmp_path: Path) -> None:
    scene = Scene(tmp_path, random.Random(1))
    follower, cursor, met = Follower(tmp_path, LOOP), "", 0
    for _ in range(60):
        scene.tell()
        for one in scene.tellers:
            one.close()
        time.sleep(0.002)
        found = follower.read(cursor)
        cursor, met = found.cursor, met + len(found.labels)
    assert met == 60
    assert len(cursor) < 2000


def test_what_is_told_after_the_clock_was_set_back_and_the_gateway_begun_anew_is_met(tmp_path: Path) -> None:
    scene, follower = Scene(tmp_path, random.Random(1)), Follower(tmp_path, LOOP)
    folder, cursors, met = tmp_path / labels.FOLDER / LOOP, [""], list[str]()
    seen, begun = set[Path](), time.time()

    def follow() -> None:
        found = follower.read(cursors[-1])
        cursors.append(found.cursor)
        met.extend(one.prediction_id for one in found.labels if one.prediction_id)

    for day in range(3):
        for number in range(150):
            scene.tellers = [Journal(tmp_path / labels.FOLDER, scene.clock)]
            scene.tell()
            scene.tellers[0].close()
            (written,) = set(folder.iterdir()) - seen
            seen.add(written)
            at = begun - 86_400 * day + 10 * number
            os.utime(written, (at, at))
            follow()
        scene.clock.jump(-86_400)
    assert met == scene.told
    assert len(cursors[-1]) < 5000
    assert {one.prediction_id for one in follower.read(cursors[-3]).labels} == set(scene.told[-2:])


def test_a_label_that_was_erased_moves_no_other(tmp_path: Path) -> None:
    scene = Scene(tmp_path, random.Random(1))
    for _ in range(6):
        scene.tell()
    cursor = Follower(tmp_path, LOOP).read().cursor
    for one in scene.tellers:
        one.close()
    erased = {scene.told[0], scene.told[3]}
    root = tmp_path / labels.FOLDER
    assert erasing._erase_labels(root, LOOP, lambda one: one.prediction_id in erased, scene.clock, 0) == 2
    scene.tell()
    found = Follower(tmp_path, LOOP).read(cursor)
    assert [one.prediction_id for one in found.labels] == scene.told[6:]
    everything = Follower(tmp_path, LOOP).read()
    assert {one.prediction_id for one in everything.labels} == set(scene.told) - erased
    assert everything.torn == 0


@pytest.mark.parametrize("name", [journal.FOLDER, failures.FOLDER, labels.FOLDER])
@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_folder_that_was_taken_away_is_an_error_and_read_on_from_once_it_is_back(
    tmp_path: Path, name: str, is_compacted: bool
) -> None:
    scene = Scene(tmp_path, random.Random(4))
    for doing in (scene.write, scene.fail, scene.tell):
        doing()
    if is_compacted:
        scene.end()
        scene.compact()
    cursor = Follower(tmp_path, LOOP).read().cursor
    away = (tmp_path / name / LOOP).rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable, match="was read from is gone") as caught:
        Follower(tmp_path, LOOP).read(cursor)
    assert caught.value.where == str(tmp_path / name / LOOP)
    away.rename(tmp_path / name / LOOP)
    read = Follower(tmp_path, LOOP).read(cursor)
    assert (read.lines, read.failures, read.labels) == ([], [], [])


def test_a_cursor_in_the_midst_of_a_table_that_is_away_loses_none_of_it(tmp_path: Path) -> None:
    many(tmp_path, 40, is_table=True)
    follower = Follower(tmp_path, LOOP)
    first = follower.read("", 10)
    again, away = Follower(tmp_path, LOOP), (tmp_path / journal.FOLDER).rename(tmp_path / "away")
    for one in (follower, again):
        with suppress(StoreUnavailable):
            one.read(one.read(first.cursor, 10).cursor)
            pytest.fail("a table that is away was read")
    away.rename(tmp_path / journal.FOLDER)
    assert len(first.lines) + len(follower.read(first.cursor).lines) == 40
    assert len(first.lines) + len(again.read(first.cursor).lines) == 40


def test_a_folder_that_was_never_there_is_no_error_and_neither_is_one_that_compaction_emptied(tmp_path: Path) -> None:
    cursor = Follower(tmp_path, LOOP).at_end()
    assert Follower(tmp_path, LOOP).read(cursor).lines == []
    many(tmp_path, 3, is_table=True)
    assert not journal.files(tmp_path / journal.FOLDER, LOOP)
    read = Follower(tmp_path, LOOP).read(cursor)
    assert len(read.lines) == 3
    assert Follower(tmp_path, LOOP).read(read.cursor).lines == []


@pytest.mark.parametrize("text", ["x", "{}", '{"format": 9}'])
def test_what_is_no_cursor_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no cursor of flights"):
        Follower(tmp_path, LOOP).read(text)


def test_a_table_written_before_latencies_and_places_is_read_and_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        made, dropped = layout.assemble, ["latency_ms", "place", "route"]
        older.setattr(layout, "assemble", lambda *given: made(*given).drop_columns(dropped))
        many(tmp_path, 3, is_table=True)
    before = Follower(tmp_path, LOOP).read()
    assert [line.latency_ms for line in before.lines] == [None] * 3
    scene = Scene(tmp_path, random.Random(2))
    scene.write()
    scene.end()
    scene.compact()
    assert [line.latency_ms for line in Follower(tmp_path, LOOP).read(before.cursor).lines] == [1.5] * len(
        scene.written
    )
    frame = reading.predictions(tmp_path, LOOP, shadows=True)
    assert frame["latency_ms"].null_count() == frame["route"].null_count() == 3
    assert set(frame["route"].drop_nulls()) == {4}
    assert len(Follower(tmp_path, LOOP).read().lines) == len(frame) == 3 + len(scene.written)
