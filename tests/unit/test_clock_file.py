"""A clock in a file: one time of day for many processes, turned by hand."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loopwright import system
from loopwright.core.clock import FileClock, Ulids, moment_of, turn
from loopwright.errors import SettingsError
from loopwright.testing import HandClock

OLD_YEAR = datetime(2013, 1, 1, 12, tzinfo=UTC)
FAR = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
TURNING = """
import sys
from datetime import datetime
from pathlib import Path
from loopwright.core.clock import turn
file, moments = Path(sys.argv[1]), [datetime.fromisoformat(one) for one in sys.argv[2:]]
for number in range(30_000):
    turn(file, moments[number % 2])
"""


def test_it_stands_still_until_it_is_turned_forwards_or_back(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    for moment in (OLD_YEAR, FAR, datetime(1, 1, 1, tzinfo=UTC), OLD_YEAR + timedelta(microseconds=1)):
        turn(file, moment)
        assert [FileClock(file).now() for _ in range(2)] == [moment] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


def test_durations_are_real(tmp_path: Path) -> None:
    turn(tmp_path / "clock", OLD_YEAR)
    clock = FileClock(tmp_path / "clock")
    begun = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - begun >= 0.01
    assert clock.now() == OLD_YEAR


def test_whoever_reads_while_another_process_turns_it_sees_one_of_its_moments(tmp_path: Path) -> None:
    file, moments = tmp_path / "clock", [OLD_YEAR, FAR]
    turn(file, OLD_YEAR)
    clock, seen = FileClock(file), set[datetime]()
    turning = subprocess.Popen([sys.executable, "-c", TURNING, str(file), *map(datetime.isoformat, moments)])
    while turning.poll() is None:
        seen.update(clock.now() for _ in range(1000))
    assert turning.returncode == 0
    assert seen == set(moments)


def test_several_may_make_it_at_once(tmp_path: Path) -> None:
    file, start = tmp_path / "clock", threading.Barrier(8)

    def make(number: int) -> None:
        start.wait()
        turn(file, OLD_YEAR + timedelta(days=number))

    makers = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for one in makers:
        one.start()
    for one in makers:
        one.join()
    assert FileClock(file).now() - OLD_YEAR in [timedelta(days=number) for number in range(8)]
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


@pytest.mark.parametrize("content", [None, b"", b"2013-01", b"2013-01-01"], ids=["missing", "empty", "short", "long"])
def test_a_file_that_is_no_clock_is_refused_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "clock"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="clock file") as refused:
        FileClock(file)
    assert "turn it first" in str(refused.value)


def test_a_file_that_holds_no_moment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(b"\xff" * 7 + b"\x7f")
    with pytest.raises(SettingsError, match="no moment"):
        FileClock(tmp_path / "clock")


def test_a_project_follows_the_clock_of_its_settings_and_hands_it_on_by_its_whole_path(tmp_path: Path) -> None:
    turn(tmp_path / "clock", OLD_YEAR)
    (tmp_path / "loopwright.toml").write_text('clock_file = "clock"\n', encoding="utf-8")
    with system.open(tmp_path) as opened:
        assert opened.clock.now() == OLD_YEAR
        assert opened.settings.overrides()["clock_file"] == str(tmp_path / "clock")
        assert opened.settings.number("lease_seconds") > 366 * 86_400  # else a turn by a day would end every lease


def test_ids_of_a_clock_that_stands_for_long_stay_unique_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopwright.core.clock._PER_MILLISECOND", 1000)
    clock = HandClock()
    ulids = Ulids(clock)
    made = [ulids.next() for _ in range(5500)]
    assert made == sorted(set(made))
    assert moment_of(made[-1]) - clock.now() == timedelta(milliseconds=5)
