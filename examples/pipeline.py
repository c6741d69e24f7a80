"""Three typed steps over a year of made-up flights. Run it:  lw run examples/pipeline.py

A parameter is named for the step it takes its value from, or is a parameter of the pipeline, with a default.
"""

import time

import numpy as np
import polars as pl

import loopwright as lw


@lw.step
def flights(seed: int, rows: int = 100_000) -> pl.DataFrame:
    """`seed` is the run's:  lw run examples/pipeline.py --seed 7 --param rows=1000"""
    draw = np.random.default_rng(seed)
    carriers = draw.choice(["AA", "B6", "DL", "UA"], rows)
    return pl.DataFrame({"carrier": carriers, "month": draw.integers(1, 13, rows), "delay": draw.gamma(2, 9, rows) - 9})


@lw.step(retries=2, timeout_seconds=60)
def late(flights: pl.DataFrame, minutes: float = 15.0, think_seconds: float = 2.0) -> pl.DataFrame:
    """Slow on purpose, so that there is time to kill it."""
    time.sleep(think_seconds)
    return flights.with_columns(late=pl.col("delay") > minutes)


@lw.step
def summary(late: pl.DataFrame) -> dict[str, float]:
    shares = late.group_by("carrier").agg(pl.col("late").mean()).sort("carrier")
    print(shares)  # what a step prints is kept:  lw logs last
    return dict(shares.iter_rows())


pipeline = lw.Pipeline([flights, late, summary])
