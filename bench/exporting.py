"""What an export costs: from the fitted pipeline to a graph that was compared with it, and what each part takes.

LightGBM, 200 trees, 60,000 rows of 20 raw columns, 20,000 held-out rows. `python -m bench.exporting` does it once, in a
process of its own, and prints the seconds as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from bench.environment import ours
from bench.figure import Figure, Section
from bench.timing import time_process

ROWS, HELD, TREES = 60_000, 20_000, 200
_PARTS = {
    "train": "training, once (floor)",
    "export": "transform, fitting again, merging",
    "answers": "Python's answers on held-out rows",
    "check": "the graph's, compared",
}


def measure(rounds: int, work: Path) -> list[Section]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        told = json.loads(time_process([sys.executable, "-m", "bench.exporting"], work, ours()).output)
        for what, found in told.items():
            seconds[what].append(found)
    base = Figure(what=_PARTS["train"], samples=seconds["train"])
    parts = [Figure(what=told, samples=seconds[what]) for what, told in _PARTS.items() if what != "train"]
    whole = Figure(what="the whole export", samples=seconds["whole"], target=10)
    title = f"LightGBM, {TREES} trees, {ROWS:,} rows of 20 columns"
    return [Section(title=title, figures=[base, whole, *parts], base=base)]


def make_rows(count: int, seed: int) -> tuple[pl.DataFrame, Any]:
    """Ten numbers and eight strings with missing ones, a timestamp, a boolean; and the label."""
    draw = np.random.default_rng(seed)

    def holed(values: Any) -> pl.Series:
        return pl.Series(values).set(pl.Series(draw.random(count) < 0.05), None)

    columns = {f"number_{i}": holed(draw.normal(size=count) * 10 ** (i % 3)) for i in range(10)}
    columns |= {f"string_{i}": holed(draw.choice([f"c{j}" for j in range(5 * i + 5)], count)) for i in range(8)}
    at = pl.Series(1_600_000_000_000_000 + draw.integers(0, 10**14, count)).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({**columns, "at": at, "flag": draw.random(count) < 0.3})
    known = (frame["string_0"] == "c1").fill_null(value=False).cast(pl.Float64) * 2 + frame["number_0"].fill_null(0)
    return frame, (known + draw.normal(size=count) > 1.5).to_numpy()


def make_pipeline(frame: pl.DataFrame) -> Any:
    from lightgbm import LGBMClassifier
    from sklearn import pipeline  # type: ignore[import-untyped]
    from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
    from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler  # type: ignore[import-untyped]

    from loopwright.transform.features import Calendar

    numbers = [name for name in frame.columns if name.startswith("number")]
    strings = [name for name in frame.columns if name.startswith("string")]
    before = make_column_transformer(
        (pipeline.make_pipeline(SimpleImputer(), StandardScaler()), numbers[:5]),
        ("passthrough", [*numbers[5:], "flag"]),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=20), strings[:4]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), strings[4:]),
        (Calendar("hour", "weekday"), ["at"]),
    )
    return pipeline.make_pipeline(before, LGBMClassifier(n_estimators=TREES, verbose=-1))


def main() -> None:
    from loopwright.transform.export import export
    from loopwright.transform.inputs import Inputs
    from loopwright.transform.parity import answers, check_parity

    frame, labels = make_rows(ROWS, 0)
    held, _ = make_rows(HELD, 1)
    rows, pipeline = Inputs.of(frame).frame(frame), make_pipeline(frame)
    times = [perf_counter()]
    pipeline.fit(rows, labels)
    times.append(perf_counter())
    found = export(pipeline, frame, labels)
    times.append(perf_counter())
    given = answers(found, held)
    times.append(perf_counter())
    check_parity(found.graph.SerializeToString(), found.inputs, found.task, found.classes, given)
    times.append(perf_counter())
    seconds = {what: after - before for what, before, after in zip(_PARTS, times[:-1], times[1:], strict=True)}
    print(json.dumps(seconds | {"whole": times[-1] - times[1]}))


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main()
