"""`lw labels`: added from files, shown with their history, counted; in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tests.conftest import lw
from tests.unit import bundled
from tests.unit.test_journal import Book

from loopwright import system
from loopwright.cli.labels import labels as labels_command
from loopwright.core.version import VersionStatus
from loopwright.errors import DataError
from loopwright.predictions import aside, joining, labels
from loopwright.predictions.journal import Journal
from loopwright.predictions.labels import Label
from loopwright.registry.register import register
from loopwright.transform import bundle

STRANGER = "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With a version of a regression whose key is `id`, and five predictions of it."""
    sealed = bundled.sealed(tmp_path / "sealed")
    with system.open(tmp_path) as opened:
        register(
            opened.stores, sealed, bundle.verify(sealed), opened.cause(), status=VersionStatus.ACCEPTED,
            run_id="run-1", metric="r2", value=0.7, reason="",
        )  # fmt: skip
        book = Book(opened.workspace)
        for number in range(5):
            book.predict(1, loop="delays", key={"id": number})
        book.journal.close()
    return tmp_path


def told(project: Path, *words: str) -> Any:
    return json.loads(lw("labels", *words, "--json", cwd=project, check=True).stdout)


def joined(project: Path, **asked: Any) -> pl.DataFrame:
    with system.open(project) as opened:
        return joining.joined(opened.workspace, "delays", **asked)


def test_labels_of_files_are_taken_by_key_or_by_id_and_those_of_nobody_kept(project: Path) -> None:
    (project / "landed.csv").write_text("id,minutes,when,seat\n0,12.5,2025-01-01T00:00:00Z,7A\n3,4,,\n9,1,,\n2,,,\n")
    done = lw("labels", "add", "landed.csv", "--loop", "delays", "--label", "minutes", "--at", "when", cwd=project)
    assert done.stdout == "delays: 3 labels taken; 1 by keys that were not predicted on yet\n", done.stderr
    found = joined(project)
    ids = found["id"].to_list()
    assert found["label"].to_list() == [12.5, None, None, 4.0, None]
    assert found["true_at"][0].year == 2025
    pl.DataFrame({"prediction_id": [ids[0], STRANGER], "price": [99, 100]}).write_parquet(project / "paid.parquet")
    words = ["paid.parquet", "--loop", "delays", "--label", "price", "--outcome", "revenue"]
    assert told(project, "add", *words) == {"accepted": 1, "unknown": 1, "unmatched": 0}
    assert joined(project, outcome="revenue")["label"].to_list() == [99, None, None, None, None]


def test_the_history_is_shown_and_what_of_it_counts(project: Path) -> None:
    identity = joined(project)["id"][1]
    assert "nothing was told" in lw("labels", "show", identity, cwd=project, check=True).stdout
    for value in (7, 8):
        (project / "late.jsonl").write_text(json.dumps({"id": 1, "label": value}) + "\n")
        told(project, "add", "late.jsonl", "--loop", "delays", "--origin", "airport")
    shown = told(project, "show", identity)
    assert [(one["label"], one["counts"], one["origin"]) for one in shown] == [
        (7, False, "airport"),
        (8, True, "airport"),
    ]
    lines = lw("labels", "show", identity, cwd=project, check=True).stdout.splitlines()
    assert [line.split()[-4:] for line in lines[1:]] == [
        ["label", "7", "id=1", "airport"],
        ["8", "id=1", "airport", "yes"],
    ]
    done = lw("labels", "show", STRANGER, cwd=project)
    assert done.returncode == 2


def test_coverage_tells_what_waits_and_what_is_missing(project: Path) -> None:
    (project / "landed.csv").write_text("id,label\n0,1\n1,2\n")
    told(project, "add", "landed.csv", "--loop", "delays")
    (row,) = told(project, "coverage", "delays", "--within", "1s")["coverage"]
    assert {name: row[name] for name in ("predictions", "labelled", "missing", "waiting")} == {
        "predictions": 5, "labelled": 2, "missing": 3, "waiting": 0,
    }  # fmt: skip
    shown = lw("labels", "coverage", "delays", cwd=project, check=True).stdout
    assert shown.splitlines()[1].split()[-5:] == ["5", "2", "3", "0", "0.400"]


def test_a_label_that_is_kept_aside_is_counted_and_shown_once(project: Path) -> None:
    with system.open(project) as opened:
        known = joining.joined(opened.workspace, "delays")["id"][0]
        for root, name, identity in (
            (labels.FOLDER, "delays", known),
            (labels.FOLDER, "trains", known),
            (aside.FOLDER, aside.NAME, STRANGER),
        ):
            writing = Journal(opened.workspace / root, opened.clock)
            writing.append(name, [Label(label=3, at=opened.clock.now(), origin="here", prediction_id=identity)])
            writing.close()
    assert told(project, "coverage", "delays")["unknown"] == 1
    assert [one["label"] for one in told(project, "show", STRANGER)] == [3]


@pytest.mark.parametrize(
    ("content", "words", "problem"),
    [
        ("flight,label\n1,2\n", [], "there is no column 'id'"),
        ("id,label\n1,2\n", ["--label", "labels"], "there is no column 'labels'"),
        ("id,label\n1,2\n", ["--by", "id"], "there is no column 'prediction_id'"),
        ("id,label\n1,2\n2,late\n", [], "label 2 of the file: label is 'late', not a number or a whole number"),
        ("id,label\none,2\n", [], "not a number, as id is in the newest predictions"),
        ("prediction_id,label\n,2\n", [], "label 1 of the file needs either prediction_id, or loop and key"),
        ("id,label,at\n1,2,2999-01-01T00:00:00Z\n", ["--at", "at"], "at is '2999-01-01T00:00:00+00:00', not a time"),
    ],
)
def test_what_is_no_label_is_refused_with_its_place(
    project: Path, content: str, words: list[str], problem: str
) -> None:
    (project / "wrong.csv").write_text(content)
    done = lw("labels", "add", "wrong.csv", "--loop", "delays", *words, cwd=project)
    assert done.returncode == 1
    assert problem in done.stderr
    assert joined(project)["label"].to_list() == [None] * 5
    assert lw("labels", "add", "wrong.csv", "--loop", "nothing", cwd=project).returncode == 2


def test_what_came_before_a_label_that_is_none_is_said_to_be_taken(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopwright.cli.labels._AT_ONCE", 2)
    (project / "long.csv").write_text("id,label\n0,1\n1,2\n2,late\n")
    said = CliRunner().invoke(
        labels_command, ["add", str(project / "long.csv"), "--loop", "delays", "--project", str(project)]
    )
    assert isinstance(said.exception, DataError)
    assert "label 3 of the file" in str(said.exception)
    assert "the 2 before it are taken" in str(said.exception)
    assert joined(project)["label"].to_list() == [1, 2, None, None, None]
