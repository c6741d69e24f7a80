"""`lw data`: as users type it, within this process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.conftest import lw as in_a_process
from tests.unit.bundles import a_bundle

import loopwright
from loopwright.cli import words
from loopwright.core.version import VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.data.schema_file import read
from loopwright.data.statistics import describe
from loopwright.data.table import Table
from loopwright.registry.register import register
from loopwright.transform import bundle


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lw = Callable[..., Done]
START = datetime(2013, 1, 1, tzinfo=UTC)


def flights(rows: int = 3000, *, shift: float = 0.0, seed: int = 0, day: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "flight_id": [f"{day}-{at:05}" for at in range(rows)],
            "at": [START + timedelta(days=day, seconds=20 * at) for at in range(rows)],
            "x": draw.normal(40 + shift, 10, rows),
            "carrier": draw.choice(["UA", "B6", "EV"], rows, p=[0.5, 0.3, 0.2]),
            "late": draw.random(rows) < 0.25,
        }
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three spans, a table of all three (the third moved), and a version that was trained on the first."""
    folder = tmp_path_factory.mktemp("made")
    months = [flights(), flights(seed=1, day=31), flights(seed=2, day=59, shift=15)]
    for name, month in zip(("january", "february", "march"), months, strict=True):
        month.write_csv(folder / f"{name}.csv")
        month.write_parquet(folder / f"{name}.parquet")
    with loopwright.open(folder / "project") as system:
        table = Table("flights", key="flight_id", time="at", label="late")
        for month in months:
            system.tables.append(table, month)
        made = folder / "bundle"
        a_bundle(made)
        contract = Schema(
            columns=(Column(name="x", kind="float", missing=False, least=-20.0, most=100.0),),
            key=("flight_id",),
            time="at",
            label="late",
            never=("carrier",),
        )
        (made / "schema.json").write_text(contract.to_json())
        (made / "statistics.json").write_text(describe(months[0].lazy().select("x", "late")).to_json())
        sealed = bundle.write(
            made, name="flights", inputs=bundle.verify_inputs(made) if hasattr(bundle, "verify_inputs") else _inputs(),
            task="regression", classes=[], parity={"rows": 1}, lineage={},
        )  # fmt: skip
        _register(system, made, sealed)
    return folder


def _inputs() -> list[Any]:
    from loopwright.transform.columns import Column as Input
    from loopwright.transform.columns import Kind

    return [Input(name="x", kind=Kind.NUMBER)]


def _register(system: loopwright.System, folder: Path, manifest: Any) -> None:
    del VersionStatus
