"""Bad rows reach a loop: it stops, says what accepts them, or sets them aside; later ones drift. As a user runs it."""

import re
from pathlib import Path

import polars as pl
import pytest
from tests.conftest import lw
from tests.integration.loopshop import rows

FILE = """
import loopwright as lw
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

visits = lw.Table("visits", key="id", time="at", label="bought", never=["paid"])


def train(data: lw.TrainingData, C: float = 1.0):
    pages = make_column_transformer(("passthrough", ["pages"]))
    return make_pipeline(pages, LogisticRegression(C=C)).fit(data.X, data.y)


loop = lw.Loop(name="buys", table=visits, train=train, judge=lw.Judge("roc_auc"),
               validate=lw.Validate(schema="schema.toml", span="30d", quarantine=False))
"""


def visits(n: int, start: int, more: int = 0) -> pl.DataFrame:
    """In 2020: none is of the future."""
    made = rows(n, start=start, seed=start).with_columns(
        pages=pl.col("pages") + more, paid=pl.col("paid").cast(pl.Float64)
    )
    return made.with_columns(at=pl.col("at") - pl.duration(days=2192))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    visits(1440, 0).write_csv(tmp_path / "first.csv")
    keys = ["--key", "id", "--time", "at", "--label", "bought", "--never", "paid"]
    assert lw("tables", "append", "visits", "first.csv", *keys, cwd=tmp_path).returncode == 0
    assert lw("data", "schema", "visits", "--output", "schema.toml", cwd=tmp_path).returncode == 0
    with (tmp_path / "schema.toml").open("a") as file:
        file.write('\n[severity]\n"number too small" = "error"\n')
    (tmp_path / "buys.py").write_text(FILE)
    return tmp_path


def test_bad_rows_stop_a_loop_or_are_set_aside_and_drift_is_told(project: Path) -> None:
    assert lw("run", "buys.py", cwd=project).returncode == 0
    assert lw("promote", "buys", cwd=project).returncode == 0
    bad = visits(720, 1440).with_columns(pages=pl.when(pl.int_range(pl.len()) < 4).then(-2).otherwise("pages"))
    bad.write_csv(project / "bad.csv")
    lw("tables", "append", "visits", "bad.csv", cwd=project)

    stopped = lw("run", "buys.py", cwd=project)
    assert stopped.returncode == 1
    assert "'pages' goes down to -2" in stopped.stderr
    offered = re.search(r"lw data accept '(columns\.pages\.least = -2)' --schema schema\.toml", stopped.stderr)
    assert offered

    (project / "buys.py").write_text(FILE.replace("quarantine=False", "quarantine=True"))
    passed = lw("run", "buys.py", cwd=project)
    assert passed.returncode == 0, passed.stderr
    assert "4 rows set aside: number too small: pages (4)" in passed.stdout
    again = lw("run", "buys.py", cwd=project).stdout
    assert "validate  reused" in again
    assert "4 rows set aside: number too small: pages (4)" in again
    assert "4 rows" in lw("data", "quarantined", "last", "--output", "aside.parquet", cwd=project).stdout
    aside = pl.read_parquet(project / "aside.parquet")
    assert set(aside["reason"]) == {"number too small: pages"}
    assert aside["id"].to_list() == ["v1440", "v1441", "v1442", "v1443"]
    shown = lw("data", "quarantined", "last", cwd=project).stdout
    assert shown.count("number too small: pages") == 4

    done = lw("data", "accept", offered[1], "--schema", "schema.toml", "--because", "returns", cwd=project)
    assert done.returncode == 0, done.stderr
    for start in (2160, 2880):
        visits(720, start, more=4).write_csv(project / "later.csv")
        lw("tables", "append", "visits", "later.csv", cwd=project)
        drifted = lw("run", "buys.py", cwd=project)
        assert drifted.returncode == 0, drifted.stderr
        assert "set aside" not in drifted.stdout
    assert "DriftFound: drifted=pages" in drifted.stdout
    trail = lw("events", cwd=project).stdout
    assert [line.split()[3] for line in trail.splitlines() if "loop:buys" in line] == [
        "VersionPromoted", "SchemaChanged", "DriftFound", "DriftFound",
    ]  # fmt: skip
