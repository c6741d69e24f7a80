"""Blocks of journal files whose moments are known: what holds none of a span is not read again, and nothing is lost."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.monitoring import DAY, FIRST, LOOP, World

from loopwright.predictions import blocks, joining, journal
from loopwright.predictions.blocks import Glance, Stretches, Wanted, texts
from loopwright.predictions.joining import Joiner

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_BYTES", 200)


class Counted(io.BufferedReader):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def write(file: Path, hours: Iterable[int], mode: str = "wb") -> None:
    lines = [{"at": FIRST + hour * HOUR, "version": 1} for hour in hours]
    with file.open(mode) as opened:
        opened.write(msgspec.json.Encoder().encode_lines(lines))


def asked(file: Path, known: Stretches | None, first: int, last: int) -> tuple[list[int], int]:
    """Which hours were found, and how many bytes were read for them."""
    wanted = Wanted(since=FIRST + first * HOUR, until=FIRST + last * HOUR)
    with Counted(io.FileIO(file)) as opened:
        found = [(seen.at - FIRST) // HOUR for part in texts(opened, wanted, known) for _, seen in part]
        return found, opened.taken


def test_parts_one_after_the_other_find_all_and_read_what_may_hold_them(tmp_path: Path) -> None:
    file, known = tmp_path / "a.jsonl", Stretches()
    write(file, range(100))
    whole = file.stat().st_size
    _, first = asked(file, known, 0, 20)
    parts = [asked(file, known, begin, begin + 20) for begin in range(0, 100, 20)]
    assert [hour for found, _ in parts for hour in found] == list(range(100))
    assert first > 0.7 * whole
    assert sum(taken for _, taken in parts) < 1.8 * first


def test_a_file_that_was_written_to_or_made_anew_is_read_again(tmp_path: Path) -> None:
    file, known = tmp_path / "a.jsonl", Stretches()
    write(file, range(40))
    assert asked(file, known, 35, 60)[0] == list(range(35, 40))
    write(file, range(40, 60), mode="ab")
    assert asked(file, known, 35, 60)[0] == list(range(35, 60))
    other = tmp_path / "b.jsonl"
    write(other, range(60)[::-1])
    os.replace(other, file)
    assert sorted(asked(file, known, 35, 60)[0]) == list(range(35, 60))


def test_of_a_file_that_grew_only_what_came_is_read(tmp_path: Path) -> None:
    file, known = tmp_path / "a.jsonl", Stretches()
    write(file, range(100))
    asked(file, known, 0, 100)
    whole = file.stat().st_size
    for hour in range(100, 110):
        write(file, [hour], mode="ab")
        found, taken = asked(file, known, hour, hour + 1)
        assert found == [hour]
        assert taken < 0.1 * whole


def test_a_line_that_was_not_whole_yet_is_found_once_it_is(tmp_path: Path) -> None:
    file, known = tmp_path / "a.jsonl", Stretches()
    write(file, range(31))
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    assert asked(file, known, 0, 100)[0] == list(range(30))
    with file.open("ab") as opened:
        opened.write(content[-20:])
    assert asked(file, known, 0, 100)[0] == list(range(31))


def test_lines_that_a_clock_put_out_of_order_are_found(tmp_path: Path) -> None:
    file, known = tmp_path / "a.jsonl", Stretches()
    write(file, [*range(30), 5, *range(30, 60)])
    for _ in range(2):
        assert asked(file, known, 5, 6)[0] == [5, 5]
    assert asked(file, known, 0, 100)[0] == [*range(30), 5, *range(30, 60)]


@pytest.mark.parametrize("torn", [b"", b'{"at":\n', b"\n"], ids=["whole", "torn", "blank"])
def test_what_is_known_of_a_block_changes_nothing_of_what_is_taken_of_it(tmp_path: Path, torn: bytes) -> None:
    file, known, decoder = tmp_path / "a.jsonl", Stretches(), msgspec.json.Decoder(Glance)
    made = [Glance(FIRST + hour * HOUR, 1 + hour // 20, shadow=hour in (3, 33)) for hour in range(60)]
    lines = [msgspec.json.encode(one) + b"\n" for one in made]
    file.write_bytes(b"".join([*lines[:10], torn, *lines[10:]]))
    for versions, shadows, first, last in itertools.product([None, {1}, {2, 3}], [False, True], [0, 25], [30, 90]):
        wanted = Wanted(since=FIRST + first * HOUR, until=FIRST + last * HOUR, versions=versions, shadows=shadows)
        for _ in range(2):
            with file.open("rb") as opened:
                found = [one for part in blocks.blocks(opened, wanted, decoder, known) for one in part]
            assert found == [one for one in made if wanted.takes(one)]
            with file.open("rb") as opened:
                assert found == [seen for part in texts(opened, wanted, known) for _, seen in part]


def test_a_block_of_which_all_is_wanted_is_not_glanced_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, known, wanted = tmp_path / "a.jsonl", Stretches(), Wanted(since=FIRST)
    write(file, range(40))
    asked(file, known, 0, 100)
    monkeypatch.delattr(blocks, "_glanced")
    with file.open("rb") as opened:
        found = [one for part in blocks.blocks(opened, wanted, msgspec.json.Decoder(Glance), known) for one in part]
    assert [(one.at - FIRST) // HOUR for one in found] == list(range(40))


def test_files_that_are_no_more_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_FILES", 3)
    known = Stretches()
    for number in range(9):
        write(tmp_path / f"{number}.jsonl", range(5))
        asked(tmp_path / f"{number}.jsonl", known, 0, 5)
    assert len(known._known) == 3


def test_a_joiner_tells_of_parts_what_is_told_of_the_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(6):
        world.answer(world.ask(world.flights(30)))
        world.clock.advance(DAY.total_seconds() / 6)
    joiner = Joiner(tmp_path, LOOP)

    def rows(begin: datetime, end: datetime, ask: Any) -> list[Any]:
        return list(ask(since=begin, until=end, known_at=world.clock.now()).select("id", "label").iter_rows())

    begins = [FIRST + number * DAY / 4 for number in range(8)]
    parts = [row for begin in begins for row in rows(begin, begin + DAY / 4, joiner.joined)]
    assert parts == rows(FIRST, FIRST + 2 * DAY, lambda **span: joining.joined(tmp_path, LOOP, **span))
    assert len(parts) == 180
    assert len(list((tmp_path / journal.FOLDER / LOOP).glob("*.jsonl"))) == 6
