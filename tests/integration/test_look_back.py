"""A deployed loop that looks back 90 days: what its retraining is told reaches the rows that a worker learns from."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
from tests.conftest import lw
from tests.integration.deployable import lay, rows

import loopwright
from loopwright.core.retraining import Retraining
from loopwright.core.version import Version

DAYS, ROWS_A_DAY, LOOK_BACK = 150, 8, 90
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = BEGAN + timedelta(hours=24 / ROWS_A_DAY * (DAYS * ROWS_A_DAY - 1))
SECONDS = 240


def visits() -> pl.DataFrame:
    at = [BEGAN + timedelta(hours=24 / ROWS_A_DAY * i) for i in range(DAYS * ROWS_A_DAY)]
    return rows(len(at)).with_columns(at=pl.Series(at))


def laid(root: Path) -> None:
    file = lay(root)
    text = file.read_text().replace(
        "retrain=[lw.on_drift()]", f'retrain=lw.Retrain([lw.on_drift()], look_back="{LOOK_BACK}d")'
    )
    text = text.replace('print("trained by the first code")', 'print(f"trained on {len(data.X)} rows")')
    assert "look_back" in text
    assert "trained on" in text
    file.write_text(text)
    visits().write_csv(root / "loops" / "rows.csv")


def asked(root: Path) -> None:
    done = lw("retrain", "buys", cwd=root / "loops", timeout=SECONDS, LW_WORKERS="1")
    assert done.returncode == 0, done.stdout + done.stderr


def learned(root: Path) -> tuple[list[Retraining], list[Version]]:
    """Oldest first."""
    with loopwright.open(root / "loops") as system:
        return list(system.stores.retrainings.list("buys"))[::-1], list(system.stores.versions.list("buys"))[::-1]


def trained_on(root: Path, version: Version) -> int:
    """As the deployed `train` itself printed it, in its worker."""
    with loopwright.open(root / "loops") as system:
        (log,) = [one.log for one in system.stores.executions.of_run(version.run_id) if one.step == "train"]
        told = system.stores.blobs.read(str(log)).decode()
    (said,) = re.findall(r"trained on (\d+) rows", told)
    return int(said)


def before_the_test_rows(version: Version, since: date) -> int:
    until = datetime.fromisoformat(version.lineage["split"]["bounds"][-1])
    return visits().filter(pl.col("at").is_between(datetime.combine(since, time(), UTC), until, closed="left")).height


def test_a_retraining_learns_from_the_days_that_the_loop_looks_back_alone(tmp_path: Path) -> None:
    root = tmp_path / "project"
    laid(root)
    done = lw("deploy", "loops/buys.py", cwd=root, timeout=SECONDS, PYTHONPATH=str(root / "src"), LW_WORKERS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    for _ in range(2):  # before the first one there is no table to look back in
        asked(root)
    (first, second), (whole, newest) = learned(root)
    since = (NEWEST - timedelta(days=LOOK_BACK)).date()
    assert visits()["at"].max() == NEWEST
    assert ("since" in first.evidence, second.evidence["since"]) == (False, since.isoformat())
    assert (whole.lineage["data"]["since"], newest.lineage["data"]["since"]) == (None, since.isoformat())
    trained = [trained_on(root, one) for one in (whole, newest)]
    assert trained == [before_the_test_rows(whole, BEGAN.date()), before_the_test_rows(newest, since)]
    assert trained[1] < 0.7 * trained[0]
