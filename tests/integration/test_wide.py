"""Ten thousand columns: everything that is done with statistics still is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from loopwright.data import spans
from loopwright.data.check import check
from loopwright.data.drift import drift
from loopwright.data.infer import infer
from loopwright.data.report import Report
from loopwright.data.statistics import Statistics

COLUMNS, ROWS = 10_000, 40


def test_ten_thousand_columns_are_described_checked_compared_and_shown(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(5, 2, (COLUMNS, ROWS))
    wide = pl.DataFrame({f"c{at}": row if at % 2 else row.astype(np.int64) for at, row in enumerate(values)})
    wide.write_parquet(tmp_path / "wide.parquet")
    looked = spans.of_files(str(tmp_path / "wide.parquet"), tmp_path)
    seen = looked.span.seen
    assert len(seen.columns) == COLUMNS
    assert np.isclose(seen.columns["c9999"].mean or 0.0, values[9999].mean())
    again = Statistics.of(seen.profile)
    assert again.columns[-1] == seen.columns["c9999"]
    assert again.profile().column("c0") == seen.columns["c0"]
    assert len(repr(again)) < 500
    found = check(seen, infer(seen))
    assert not [one for one in found if one.kind in ("wrong type", "missing column", "all missing")]
    moved = drift(seen.profile, seen.profile)
    assert len(moved.columns) == COLUMNS
    assert moved.suspected == ()
    report = Report(spans=(looked.span,), findings=tuple(found), drift=moved)
    assert len(report.text().splitlines()) < 200
    assert len(report.page("wide")) < 5_000_000
