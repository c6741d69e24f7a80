"""A mistake that happens: somebody's own import of the flights has its distances in kilometres, and nobody is told.

Everything is done as a person would: rows into a table, a loop file beside the first one, `lw run`, `lw release start`.
The gates pass, for they judge on rows with the same mistake.
"""

from __future__ import annotations

import json
import subprocess
import sys
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


class Making:
    """The version that the mistaken import comes to, on its way: by `lw run`, beside all that goes on. Ask for it when
    it is needed, and `stop` whatever happens."""

    def __init__(self, opened: System, file: Path) -> None:
        """`file` is the loop's; beside it the mistaken one is written."""
        rows = flown(opened).with_columns((pl.col("distance") * KILOMETRES).round().cast(pl.Int64))
        opened.tables.append(WRONG, rows, batch_id="imported")
        mistaken = file.with_name(FILE)
        mistaken.write_text(of_the_wrong_table(file.read_text(encoding="utf-8")), encoding="utf-8")
        asked = ["run", str(mistaken), "--param", "start=parameters", "--json", "--project", str(opened.folder)]
        self._stores = opened.stores
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loopwright.cli", *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def version(self) -> Version:
        """Accepted or rejected. Waits for it. Raises StepError where there is none."""
        said, wrong = self._process.communicate()
        run = json.loads(said)["run"] if said else None
        found = next((one for one in self._stores.versions.list(LOOP) if run and one.run_id == run), None)
        if found is None:
            raise StepError(f"the run of {FILE} made no version: {wrong.strip()[-500:]}", fix=f"lw show {run or 'RUN'}")
        return found

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()


def released(opened: System, version: Version, because: str) -> Release:
    """As `lw release start --no-shadow` begins it."""
    from loopwright.rollout.reconciler import follower
    from loopwright.rollout.starting import start

    log = follower(opened.workspace, LOOP)
    return start(opened.stores, log, version, PLAN, opened.cause(because), opened.clock)


def flown(opened: System) -> pl.DataFrame:
    """What the loop's own table has, as far as labels came."""
    return opened.tables.scan(TABLE.name).drop_nulls(flights.LABEL).collect()


def of_the_wrong_table(loop_file: str) -> str:
    """The loop file, learning from the other table. Raises LoopwrightError for one that names no such table."""
    said = f'"{TABLE.name}"'
    if said not in loop_file:
        raise LoopwrightError(f"the loop file names no table {said}", fix="begin with the demo's own: remove it")
    return loop_file.replace(said, f'"{WRONG.name}"', 1)
