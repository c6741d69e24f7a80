"""The prediction log of a running gateway: hidden values, samples, a full disk, tables made meanwhile, erasure."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw
from tests.journey.test_serve import SCHEMA, Project, Trained, as_json, flights, served, trained

from loopwright import system
from loopwright.predictions import reading
from loopwright.transform import bundle

SECRET = "Qx7-carrier-nobody-may-read"
PASSENGER = "passenger-0815-nobody-may-read"
ROW = as_json(flights(1, seed=4))[0] | {"carrier": SECRET, "flight_id": PASSENGER}
PROMPT = ("--set", "route_poll_seconds=0.1", "--set", "journal_close_seconds=0.2", "--set", "compact_seconds=0.5")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of whose columns and key some are tagged."""
    made = trained(tmp_path_factory.mktemp("bundles") / "20", 20)
    tagged = (replace(SCHEMA.columns[0], tags=("pii",)), *SCHEMA.columns[1:])
    (made.folder / "schema.json").write_text(replace(SCHEMA, columns=tagged, pii=("flight_id",)).to_json())
    exported = made.exported
    manifest = bundle.write(
        made.folder,
        name="flights",
        inputs=exported.inputs.columns,
        task=exported.task,
        classes=exported.classes,
        parity={"rows": 2000},
        lineage={"run": "run-1", "seed": 0},
    )
    return Trained(made.folder, manifest, exported)


@pytest.fixture
def project(tmp_path: Path, private: Trained) -> Iterator[Project]:
    with system.open(tmp_path) as opened:
        made = Project(tmp_path, opened)
        made.register(private)
        made.promote(1)
        yield made


def holding(folder: Path, text: str) -> list[str]:
    """The files of a folder in which a text stands."""
    return [str(file) for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def until(is_so: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_what_is_tagged_is_never_written_and_labels_meet_it_all_the_same(project: Project) -> None:
    workspace = project.opened.workspace
    plain = {"carrier": "BYTES", "departure": "BYTES", "distance": "INT32", "wind": "FP64", "flight_id": "BYTES"}
    tensors = [{"name": n, "datatype": d, "shape": [1, 1], "data": [ROW[n]]} for n, d in plain.items()]
    with served(project, *PROMPT):
        ids = [one["id"] for one in project.predict(ROW)]  # by the hot path
        ids += [project.post("/v1/loops/flights/predict", {"row": ROW})[1]["prediction"]["id"]]
        ids += [project.post("/invocations", {"instances": [ROW]})[1]["prediction_ids"][0]]  # by the plain one
        ids += [project.post("/v2/models/flights/infer", {"inputs": tensors})[1]["parameters"]["prediction_ids"]]
        key = {"loop": "flights", "key": {"flight_id": PASSENGER}, "label": True}
        assert project.post("/v1/labels", {"labels": [key]}) == (200, {"accepted": 1, "unknown": 0, "unmatched": 0})
        assert project.post("/v1/loops/flights/predict", {"row": ROW | {"distance": "x"}})[0] == 422
        lines = {line.id: line for line in reading.read(workspace, "flights").lines}
        assert sorted(lines) == sorted(ids)
        assert len({line.row["carrier"] for line in lines.values()}) == 1
        until(lambda: not list((workspace / "predictions" / "flights").glob("*.jsonl")))
        assert lw("why", ids[0], cwd=project.folder).returncode == 0
        joined = reading.joined(workspace, "flights")
        assert joined["label"].to_list() == [True] * 4
        assert (holding(workspace, SECRET), holding(workspace, PASSENGER)) == ([], [])


def test_values_that_are_dropped_leave_labels_by_them_unknown(project: Project) -> None:
    workspace = project.opened.workspace
    with served(project, "--set", "pii=drop"):
        project.predict(ROW)
        key = {"loop": "flights", "key": {"flight_id": PASSENGER}, "label": True}
        assert project.post("/v1/labels", {"labels": [key]}) == (200, {"accepted": 0, "unknown": 1, "unmatched": 0})
    (line,) = reading.read(workspace, "flights").lines
    assert "carrier" not in line.row
    assert (holding(workspace, SECRET), holding(workspace, PASSENGER)) == ([], [])


def test_of_a_sample_each_answer_says_whether_it_is_in_the_log(project: Project) -> None:
    with served(project, "--set", "predictions_share=0.5"):
        found = [one for _ in range(60) for one in project.predict(ROW, ROW)]
    kept = {line.id for line in reading.read(project.opened.workspace, "flights").lines}
    assert {one["id"] for one in found if one.get("recorded", True)} == kept
    assert {one["recorded"] for one in found if "recorded" in one} == {False}
    assert 20 < len(kept) < 100


def test_a_running_gateway_forgets_whom_it_is_told_to(project: Project) -> None:
    other = ROW | {"flight_id": "another"}
    with served(project, *PROMPT):
        before = project.predict(ROW, other)
        until(lambda: list((project.opened.workspace / "predictions").rglob("_delta_log")))
        after = project.predict(ROW, other)
        assert [lw("why", one["id"], cwd=project.folder).returncode for one in (before[1], after[1])] == [0, 0]
        done = lw("predictions", "erase", "flights", "--key", f"flight_id={PASSENGER}", cwd=project.folder)
        assert done.returncode == 0, done.stderr + done.stdout
        kept = {line.id for line in reading.read(project.opened.workspace, "flights").lines}
        assert kept == {before[1]["id"], after[1]["id"]}
        assert project.predict(ROW)


def test_a_full_disk_is_answered_as_was_chosen_and_told(project: Project, small_disk: Path) -> None:
    journal = project.opened.workspace / "predictions"
    journal.symlink_to(small_disk)
    filler = small_disk / "filler"
    with served(project, "--set", "journal_full=answer", "--set", "compact_seconds=0", *PROMPT[:2]):
        assert "recorded" not in project.predict(ROW)[0]
        with filler.open("wb") as opened:
            opened.write(b"0" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
        found = [project.predict(ROW)[0] for _ in range(40)]
        assert found[-1]["recorded"] is False
        assert project.post("/invocations", {"instances": [ROW]})[1]["recorded"] is False
        assert project.get("/readyz")[1]["degraded"] == ["journal"]

        def told(kind: str) -> bool:
            return any(one.kind == kind for one in project.opened.stores.events.list(subject="journal:predictions"))

        until(lambda: told("JournalDegraded"))
        filler.unlink()
        until(lambda: "recorded" not in project.predict(ROW)[0] and told("JournalRecovered"))
    unrecorded = {one["id"] for one in found if not one.get("recorded", True)}
    kept = {json.loads(line)["id"] for file in small_disk.rglob("*.jsonl") for line in file.read_text().splitlines()}
    assert unrecorded.isdisjoint(kept)
    assert {one["id"] for one in found} - unrecorded <= kept
