"""What the loop is measured against: the first model left alone, and a new one every month, looked at or not.

Both are trained by the loop file's own `train`, with the parameters and the rows that the loop would have had, in a
process of low priority beside the story. What was worked out once is kept, by all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright.demo import flights
from loopwright.errors import LoopwrightError
from loopwright.pipeline.supervisor import ENVIRONMENT

if TYPE_CHECKING:
    import polars as pl

LEARNED, LAST = 3, 12
"""Months that the first model learns from; the last month that is played."""
_NICE = 10
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All that the baselines depend on."""

    file: Path
    """The loop's."""
    parameters: Mapping[str, Any]
    holdout: float | None = None
    """Share of the rows, the newest, that no model is trained on; None: as the loop's split says."""
    last: int = LAST
    rows_each: int | None = None

    def key(self) -> str:
        """Equal for equal results."""
        told = [_FORMAT, dict(self.parameters), self.holdout, self.last, self.rows_each]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for file in (self.file, Path(flights.__file__)):
            digest.update(b"\0" + file.read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """The loop's metric on each month's flights, by number of the month from the first one played."""

    alone: Mapping[int, float]
    monthly: Mapping[int, float]
    retrains: int
    """Of the monthly ones, the first model not counted."""


class Working:
    """Baselines on their way. Ask for `result` when they are needed, and `stop` whatever happens."""

    def __init__(self, terms: Terms, folder: Path) -> None:
        """`folder` is where results are kept."""
        folder.mkdir(parents=True, exist_ok=True)
        self._target = folder / f"baselines-{terms.key()}.json"
        self._process: subprocess.Popen[bytes] | None = None
        if not self._target.exists():
            told = {"file": str(terms.file), "parameters": dict(terms.parameters), "holdout": terms.holdout}
            asked = json.dumps(told | {"last": terms.last, "rows_each": terms.rows_each, "target": str(self._target)})
            command = [sys.executable, "-m", "loopwright.demo.baselines", asked]
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=ENVIRONMENT | os.environ,
            )

    @property
    def is_known(self) -> bool:
        """Whether it was worked out before."""
        return self._process is None

    def result(self) -> Baselines:
        """Waits for it. Raises LoopwrightError when it could not be worked out."""
        said = b"" if self._process is None else self._process.communicate()[1]
        if not self._target.exists():
            raise LoopwrightError(f"the baselines failed: {said.decode(errors='replace').strip()[-1000:]}")
        found = json.loads(self._target.read_text(encoding="utf-8"))
        alone, monthly = ({int(month): value for month, value in found[name].items()} for name in ("alone", "monthly"))
        return Baselines(alone=alone, monthly=monthly, retrains=found["retrains"])

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def work_out(terms: Terms, metric: str = "roc_auc") -> Baselines:
    """Here and now: a training for every month."""
    months = {number: _rows(number, terms.rows_each) for number in range(1, terms.last + 1)}
    played = range(LEARNED + 1, terms.last + 1)
    alone, monthly, first = dict[int, float](), dict[int, float](), None
    for number in played:
        model = _model(terms, [months[before] for before in range(1, number)])
        first = first or model
        alone[number] = _value(first, months[number], metric)
        monthly[number] = alone[number] if model is first else _value(model, months[number], metric)
    return Baselines(alone=alone, monthly=monthly, retrains=max(len(played) - 1, 0))


def _rows(number: int, rows_each: int | None) -> pl.DataFrame:
    rows = flights.month(number)
    some = rows if rows_each is None else rows.gather_every(max(len(rows) // rows_each, 1))
    return some.drop(flights.KEY, *flights.NEVER).drop_nulls(flights.LABEL)


def _model(terms: Terms, known: list[pl.DataFrame]) -> tuple[Any, Any]:
    """A model and the data it was trained on: of all rows so far but the newest, as a split by time leaves them."""
    import polars as pl

    from loopwright.pipeline.load import load_module
    from loopwright.train.data import TrainingData

    module = load_module(terms.file)
    holdout = module.loop.split.holdout if terms.holdout is None else terms.holdout
    rows = pl.concat(known).sort(flights.TIME)
    rows = rows.head(int(len(rows) * (1 - holdout)))
    data = TrainingData.of(rows.drop(flights.LABEL), rows[flights.LABEL].to_numpy())
    return module.train(data, **terms.parameters), data


def _value(trained: tuple[Any, Any], rows: pl.DataFrame, metric: str) -> float:
    from loopwright.judge.metrics import values
    from loopwright.judge.sample import sample

    model, data = trained
    scores = model.predict_proba(data.inputs.frame(rows.drop(flights.LABEL)))[:, 1]
    return float(values(sample(rows[flights.LABEL].to_numpy().astype(int), scores), [metric])[0])


def _step_aside() -> None:
    """Work while nothing else would, where the system knows of that."""
    with suppress(OSError):
        os.nice(_NICE)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _main(asked: str) -> None:
    _step_aside()
    told = json.loads(asked)
    target = Path(told.pop("target"))
    found = work_out(Terms(**told | {"file": Path(told["file"])}))
    begun = target.with_suffix(f".{os.getpid()}")
    told = {"alone": dict(found.alone), "monthly": dict(found.monthly), "retrains": found.retrains}
    begun.write_text(json.dumps(told), encoding="utf-8")
    begun.replace(target)


if __name__ == "__main__":
    _main(sys.argv[1])
