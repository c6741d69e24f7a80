"""A mistake that happens: somebody's own import of the flights has its distances in kilometres, and nobody is told.

Everything is done as a person would: rows into a table, a loop file beside the first one, `lw run`, `lw release start`.
The gates pass, for they judge on rows with the same mistake.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from loopwright.core.release import Release
from loopwright.core.version import Version
from loopwright.data.table import Table
from loopwright.demo import flights
from loopwright.demo.story import LOOP, TABLE
from loopwright.errors import LoopwrightError, StepError
from loopwright.rollout.plan import Canary
from loopwright.system import System

FILE = "flights_km.py"
WRONG = Table("flights_km", key=flights.KEY, time=flights.TIME, label=flights.LABEL, never=flights.NEVER)
KILOMETRES = 1.609344
"""A mile."""
PLAN = Canary(shares=[0.25, 1.0], hold="2d", watch="2d", patience="21d")
"""As the loop's, in a hurry: unheard it scores nothing."""


def made(opened: System, file: Path) -> Version:
    """The version that the mistaken import comes to, accepted or rejected. Raises StepError where there is none."""
    rows = flown(opened).with_columns((pl.col("distance") * KILOMETRES).round().cast(pl.Int64))
    opened.tables.append(WRONG, rows, batch_id="imported")
    mistaken = file.with_name(FILE)
    mistaken.write_text(of_the_wrong_table(file.read_text(encoding="utf-8")), encoding="utf-8")
    ending = opened.run(mistaken, parameters={"start": "parameters"})
    version = opened.stores.versions.get(LOOP, "newest")
    if version.run_id != ending.run:
        why = ending.error.message if ending.error else ending.status
        raise StepError(f"the run of {FILE} made no version: {why}", fix=f"lw show {ending.run}")
    return version


def released(opened: System, version: Version, because: str) -> Release:
    """As `lw release start --no-shadow` begins it."""
    from loopwright.rollout.reconciler import follower
    from loopwright.rollout.starting import start

    log = follower(opened.workspace, LOOP)
    return start(opened.stores, log, version, PLAN, opened.cause(because), opened.clock)


def flown(opened: System) -> pl.DataFrame:
    """What the loop's own table has, with the labels that came so far."""
    return opened.tables.scan(TABLE.name).collect()


def of_the_wrong_table(loop_file: str) -> str:
    """The loop file, learning from the other table. Raises LoopwrightError for one that names no such table."""
    said = f'"{TABLE.name}"'
    if said not in loop_file:
        raise LoopwrightError(f"the loop file names no table {said}", fix="begin with the demo's own: remove it")
    return loop_file.replace(said, f'"{WRONG.name}"', 1)
