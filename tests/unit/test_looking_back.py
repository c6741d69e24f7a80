"""Rows against the span before and against the champion's training rows: what is said, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from loopwright.data.against import Trained, look_back
from loopwright.data.described import Described, described
from loopwright.data.rows import Rows, pin
from loopwright.data.schema import Schema
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.data.validate import contract
from loopwright.testing import HandClock

table = Table("visits", key="id", time="at", label="late")


def visits(n: int, *, start: int = 0, shift: float = 0.0, label: bool | None = True) -> pl.DataFrame:
    draw = np.random.default_rng(start)
    late = [None] * n if label is None else [bool(one) for one in draw.random(n) < 0.3]
    return pl.DataFrame(
        {
            "id": range(start, start + n),
            "at": [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=start + i) for i in range(n)],
            "wait": draw.normal(shift, 1.0, n),
            "late": pl.Series(late, dtype=pl.Boolean),
        }
    )


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path, HandClock())


def seen(tables: Tables, *frames: pl.DataFrame) -> tuple[Described, Schema, Rows]:
    for frame in frames:
        tables.append(table, frame)
    rows = pin(tables, table)
    found = described(rows, tables, timedelta(hours=1200))
    return found, contract(found.rows, rows.features, table), rows


def champion(found: Described, schema: Schema) -> Trained:
    return Trained(name="late v1", profile=found.rows.profile(), schema=schema)


def test_without_a_champion_only_the_spans_are_compared(tables: Tables) -> None:
    found, schema, rows = seen(tables, visits(1200), visits(1200, start=1200, shift=1.0))
    told = look_back(found, schema, table, rows.features, None, is_declared=False)
    assert (told.champion, told.newest, told.rows, told.changes) == (None, None, None, ())
    assert told.columns == {"drifted": [], "suspected": ["wait"]}
    assert "the newest span against the one before" in str(told)


def test_a_table_of_one_span_has_nothing_to_compare_with(tables: Tables) -> None:
    found, schema, rows = seen(tables, visits(500))
    told = look_back(found, schema, table, rows.features, None, is_declared=False)
    assert (told.spans, told.is_short) == (None, True)
    assert "not enough data: the rows do not reach back over two" in str(told)


def test_a_span_is_not_compared_with_the_stub_of_one(tables: Tables) -> None:
    found, schema, rows = seen(tables, visits(1200), visits(40, start=1200, shift=1.0))
    assert found.span is not None
    assert (found.span.rows, found.before) == (1200, None)
    told = look_back(found, schema, table, rows.features, None, is_declared=False)
    assert told.columns == {"drifted": [], "suspected": []}
    assert "not enough data" in str(told)


def test_labels_that_have_not_arrived_are_no_drift(tables: Tables) -> None:
    before = seen(tables, visits(2400))
    found, schema, rows = seen(tables, visits(1200, start=2400, label=None))
    told = look_back(found, schema, table, rows.features, champion(*before[:2]), is_declared=False)
    assert told.columns == {"drifted": [], "suspected": []}
    assert told.newest is not None
    assert [one.name for one in told.newest.columns] == ["wait"]


def test_what_the_schema_accepts_is_not_told_again(tables: Tables) -> None:
    found, schema, rows = seen(tables, visits(1200), visits(1200, start=1200, shift=1.0))
    wait = replace(schema.column("wait"), drift=0.9)
    wider = replace(schema, columns=tuple(wait if one.name == "wait" else one for one in schema.columns))
    assert look_back(found, wider, table, rows.features, None, is_declared=True).findings == ()


def test_plain_limits_on_the_distance_from_training_hold_where_a_file_sets_them(tables: Tables) -> None:
    before = seen(tables, visits(2400))
    found, schema, rows = seen(tables, visits(1200, start=2400, shift=0.5))
    wait = replace(schema.column("wait"), skew_limits={"l_infinity": 0.001})
    limited = replace(schema, columns=tuple(wait if one.name == "wait" else one for one in schema.columns))
    told = look_back(found, limited, table, rows.features, champion(*before[:2]), is_declared=True)
    assert "differs from training" in [one.kind for one in told.findings]


def test_values_that_are_merely_seen_are_no_change_of_the_schema(tables: Tables) -> None:
    before = seen(tables, visits(2400))
    found, schema, rows = seen(tables, visits(1200, start=2400, shift=50.0))
    told = look_back(found, schema, table, rows.features, champion(*before[:2]), is_declared=False)
    assert told.changes == ()
    assert "number too big" in [one.kind for one in told.findings]
