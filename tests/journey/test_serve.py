"""`lw serve` as a process of its own: real bundles, real HTTP, promotions and kills while clients ask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder  # type: ignore[import-untyped]
from tests.conftest import lw

from loopwright import system
from loopwright.access import keys
from loopwright.core.clock import SystemClock
from loopwright.core.event import Cause
from loopwright.core.version import Arm, Route, Version, VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.errors import ArtifactCorrupted
from loopwright.predictions import reading
from loopwright.registry.promote import promote, rollback
from loopwright.registry.register import register
from loopwright.transform import bundle
from loopwright.transform.assembly import matrix_of
from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.features import Calendar

SCHEMA = Schema(
    columns=(
        Column(name="carrier", kind="string", missing=True, values=("AA", "DL", "UA")),
        Column(name="departure", kind="time", missing=False),
        Column(name="distance", kind="integer", missing=False, low=96, high=4983),
        Column(name="wind", kind="float", missing=True),
    ),
    key=("flight_id",),
    time="departure",
    label="late",
    never=("arr_time",),
)


def flights(count: int, seed: int) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    begin = datetime(2013, 1, 1, 5, tzinfo=UTC)
    return pl.DataFrame(
        {
            "carrier": [("AA", "DL", "UA", None)[one] for one in chance.integers(0, 4, count)],
            "departure": [begin + timedelta(minutes=int(m)) for m in chance.integers(0, 500_000, count)],
            "distance": chance.integers(96, 4983, count),
            "wind": [None if one < 0 else float(one) for one in chance.normal(10, 8, count)],
        }
    )


def command_of(process: str) -> bytes:
    """Nothing of one that is just going."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


@dataclass(frozen=True)
class Trained:
    folder: Path
    manifest: bundle.Manifest
    exported: Exported

    def probabilities(self, rows: pl.DataFrame) -> Any:
        """As the Python model has it."""
        assert self.exported.transform_graph
        inputs = self.exported.inputs
        matrix = matrix_of(self.exported.transform_graph, inputs, inputs.feed(rows))
        return np.asarray(self.exported.estimator.predict_proba(matrix))


def trained(folder: Path, trees: int) -> Trained:
    rows = flights(2000, seed=trees)
    late = (rows["wind"].fill_null(0).to_numpy() + rows["distance"].to_numpy() / 300) > 15
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        (Calendar("hour", "weekday"), ["departure"]),
        remainder="passthrough",
    )
    model = make_pipeline(encode, LGBMClassifier(n_estimators=trees, verbose=-1, n_jobs=1, random_state=0))
    exported = export(model.fit(rows, late), rows, late)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(exported.graph.SerializeToString())
    (folder / "schema.json").write_text(SCHEMA.to_json())
    manifest = bundle.write(
        folder,
        name="flights",
        inputs=exported.inputs.columns,
        task=exported.task,
        classes=exported.classes,
        parity={"rows": 2000},
        lineage={"run": "run-1", "seed": 0},
    )
    return Trained(folder, manifest, exported)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    folder = tmp_path_factory.mktemp("bundles")
    return [trained(folder / str(trees), trees) for trees in (20, 40)]


@dataclass
class Project:
    """A workspace with versions, and the gateway that serves it."""

    folder: Path
    opened: system.System
    url: str = ""
    process: subprocess.Popen[str] | None = None
    versions: list[Version] = field(default_factory=list)

    def register(self, model: Trained) -> Version:
        version = register(
            self.opened.stores,
            model.folder,
            model.manifest,
            self.cause(),
            status=VersionStatus.ACCEPTED,
            run_id="run-1",
            metric="roc_auc",
            value=0.8,
            reason="1 of 1 gates passed",
        )
        self.versions.append(version)
        return version

    def cause(self) -> Cause:
        return self.opened.cause("a test")

    def promote(self, number: int) -> None:
        promote(self.opened.stores, "flights", str(number), self.cause())

    def route_to(self, number: int) -> None:
        """Without the look at the bundle that a promotion takes."""
        routes, by = self.opened.stores.routes, self.cause()
        before = routes.current("flights")
        arm = Arm(name="champion", version=number, share=1.0)
        route = Route(loop="flights", arms=(arm,), at=by.at, actor=by.actor)
        routes.change(route, {"champion": number}, by, before.number if before else None)

    def get(self, path: str) -> Any:
        return self.ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: object) -> Any:
        content = json.dumps(body).encode()
        return self.ask(urllib.request.Request(self.url + path, content, {"Content-Type": "application/json"}))

    def ask(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def predict(self, *rows: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        status, answer = self.post("/v1/loops/flights/predict", {"rows": list(rows), **more})
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["predictions"]
        return found

    def workers(self) -> list[int]:
        """The processes that answer: copies of the one that was started, as others it starts are not."""
        assert self.process
        parent = Path(f"/proc/{self.process.pid}")
        line = (parent / "cmdline").read_bytes()
        found = (parent / "task" / str(self.process.pid) / "children").read_text().split()
        return [int(one) for one in found if command_of(one) == line]

    def kill(self) -> None:
        """All of it at once, so that nobody is left to mend or finish anything."""
        assert self.process
        workers = self.workers()
        self.process.kill()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    def until(self, version: int, seconds: float) -> float:
        """How long it took until that version answered."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            if self.predict(as_json(flights(1, 0))[0])[0]["version"] == version:
                return time.monotonic() - begun
        raise AssertionError(f"version {version} does not answer after {seconds} seconds")


@pytest.fixture
def project(tmp_path: Path, models: list[Trained]) -> Iterator[Project]:
    with system.open(tmp_path) as opened:
        made = Project(tmp_path, opened)
        for model in models:
            made.register(model)
        made.promote(1)
        yield made


@contextmanager
def served(project: Project, *words: str) -> Iterator[Project]:
    ready = project.folder / "ready"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "loopwright.cli", "serve", "--port", "0", "--ready-file", str(ready), *words]
    with subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for _ in range(600):
                if ready.exists() or process.poll() is not None:
                    break
                time.sleep(0.05)
            assert ready.exists(), process.communicate()
            project.url, project.process = ready.read_text().strip(), process
            yield project
        finally:
            process.kill()


def as_json(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [row | {"departure": row["departure"].isoformat()} for row in rows.to_dicts()]


class Crowd:
    """Clients that ask without a pause until told to stop, and remember what they were answered."""

    def __init__(self, project: Project, clients: int = 3) -> None:
        self.answered: list[tuple[str, int]] = []
        self.failed: list[object] = []
        self.rows = as_json(flights(50, seed=5))
        self._project = project
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        while not self._is_over.is_set():
            try:
                found = self._project.predict(*self.rows[number : number + 3])
                self.answered += [(one["id"], one["version"]) for one in found]
            except Exception as error:  # noqa: BLE001 - whatever fails is what is looked for
                self.failed.append(error)
                return


def test_what_is_served_is_what_the_python_model_says(project: Project, models: list[Trained]) -> None:
    rows = flights(700, seed=9)
    expected = models[0].probabilities(rows)
    with served(project):
        many = project.predict(*as_json(rows))
        ones = [project.predict(row)[0] for row in as_json(rows)[:20]]
    found = np.array([[one["probabilities"]["false"], one["probabilities"]["true"]] for one in many])
    assert np.abs(found - expected).max() < 1e-5
    assert [one["label"] for one in many] == (found[:, 1] > 0.5).tolist()
    assert [one["probabilities"] for one in ones] == [one["probabilities"] for one in many[:20]]


def test_the_open_inference_protocol_gives_the_same(project: Project) -> None:
    rows = as_json(flights(30, seed=9))
    datatypes = {"carrier": "BYTES", "departure": "BYTES", "distance": "INT32", "wind": "FP64"}
    inputs = [
        {"name": name, "datatype": datatype, "shape": [30, 1], "data": [row[name] for row in rows]}
        for name, datatype in datatypes.items()
    ]
    with served(project):
        expected = project.predict(*rows)
        status, answer = project.post("/v2/models/flights/infer", {"inputs": inputs})
    assert status == 200
    label, probabilities = answer["outputs"]
    assert label["data"] == [one["label"] for one in expected]
    assert probabilities["data"] == [share for one in expected for share in one["probabilities"].values()]


def test_a_rollback_is_followed_within_two_seconds_and_no_request_fails(project: Project) -> None:
    with served(project), Crowd(project) as crowd:
        project.until(1, 5)
        for number in (2, 1, 2):
            project.promote(number)
            assert project.until(number, 5) < 2
        rollback(project.opened.stores, "flights", project.cause())
        assert project.until(1, 5) < 2
    assert crowd.failed == []
    assert {version for _, version in crowd.answered} == {1, 2}
    kept = {line.id: line.version for line in reading.read(project.opened.workspace, "flights").lines}
    assert dict(crowd.answered).items() <= kept.items()


def test_a_killed_gateway_loses_no_prediction_that_was_answered(project: Project) -> None:
    with served(project), Crowd(project) as crowd:
        while len(crowd.answered) < 300:
            time.sleep(0.01)
        project.kill()
        while not crowd.failed:
            time.sleep(0.01)
    kept = {line.id: line.version for line in reading.read(project.opened.workspace, "flights").lines}
    assert dict(crowd.answered).items() <= kept.items()
    with served(project):
        identity = crowd.answered[0][0]
        labels = [{"prediction_id": identity, "label": True}]
        assert project.post("/v1/labels", {"labels": labels}) == (200, {"accepted": 1, "unknown": 0, "unmatched": 0})


def test_a_gateway_told_to_stop_answers_what_it_began(project: Project) -> None:
    rows, found = as_json(flights(45_000, seed=3)), []
    with served(project):
        asking = threading.Thread(target=lambda: found.extend(project.predict(*rows)))
        asking.start()
        time.sleep(0.3)
        assert project.process
        project.process.send_signal(signal.SIGTERM)
        assert project.process.wait(timeout=20) == 0
        asking.join()
    assert len(found) == len(rows)
    assert len(reading.read(project.opened.workspace, "flights").lines) == len(rows)


def test_labels_come_later_and_meet_their_predictions(project: Project) -> None:
    rows = [row | {"flight_id": number} for number, row in enumerate(as_json(flights(6, seed=2)))]
    with served(project):
        found = project.predict(*rows)
        labels: list[dict[str, Any]] = [{"prediction_id": found[0]["id"], "label": True}]
        labels += [{"loop": "flights", "key": {"flight_id": 3}, "label": False}]
        labels += [{"prediction_id": "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", "label": True}]
        assert project.post("/v1/labels", {"labels": labels}) == (200, {"accepted": 2, "unknown": 1, "unmatched": 0})
    joined = reading.joined(project.opened.workspace, "flights")
    assert joined["id"].to_list() == [one["id"] for one in found]
    assert joined["label"].to_list() == [True, None, None, False, None, None]
    assert joined["row"].struct.field("distance").to_list() == [row["distance"] for row in rows]
    told = lw("predictions", "flights", "--json", "--limit", "3", cwd=project.folder, check=True)
    assert [one["prediction"]["id"] for one in json.loads(told.stdout)] == [one["id"] for one in found[:2:-1]]
    assert lw("why", found[0]["id"], cwd=project.folder).returncode == 0
    unknown = lw("predictions", "flihgts", cwd=project.folder)
    assert (unknown.returncode, "did you mean 'flights'?" in unknown.stderr) == (2, True)


WRONG: list[tuple[dict[str, Any], str, Any, str]] = [
    ({"distance": "1400"}, "distance", "1400", "a whole number"),
    ({"distance": 1400.5}, "distance", 1400.5, "a whole number"),
    ({"distance": None}, "distance", None, "does not know null"),
    ({"departure": "tomorrow"}, "departure", "tomorrow", "a time like"),
    ({"carrier": 7}, "carrier", 7, "text or null"),
    ({"carier": "UA"}, "carier", "UA", "did you mean 'carrier'?"),
    ({"arr_time": 1}, "arr_time", 1, "not known when a prediction is made"),
    ({"late": True}, "late", True, "this is what is predicted"),
]


def test_rows_that_do_not_fit_are_told_precisely(project: Project) -> None:
    (good,) = as_json(flights(1, seed=0))
    with served(project):
        for change, column, value, expected in WRONG:
            status, answer = project.post("/v1/loops/flights/predict", {"rows": [good, good | change]})
            (problem,) = answer["problems"]
            assert (status, problem["row"], problem["column"], problem["value"]) == (422, 1, column, value)
            assert expected in problem["expected"]
        assert project.get("/v1/loops/none")[0] == 404
        assert project.predict(good | {"carrier": "ZZ"})
    assert len(reading.read(project.opened.workspace, "flights").lines) == 1


def test_a_version_whose_content_is_damaged_is_not_served_and_the_gateway_says_so(project: Project) -> None:
    with served(project):
        digest = project.versions[1].files["model.onnx"]
        (content,) = (
            p
            for p in (project.opened.workspace / "artifacts").rglob("*")
            if p.is_file() and digest in str(p).replace("/", "")
        )
        content.chmod(0o644)
        content.write_bytes(content.read_bytes()[:-1] + b"?")
        with pytest.raises(ArtifactCorrupted):
            project.promote(2)
        project.route_to(2)  # as where it was damaged after its promotion
        for _ in range(100):
            loop = project.get("/v1/loops")[1]["loops"][0]
            if loop["fault"]:
                break
            time.sleep(0.05)
        assert loop["fault"]["route"]["arms"][0]["version"] == 2
        assert loop["version"] == 1
        assert str(project.folder) not in json.dumps(loop)
        project.until(1, 5)
        rollback(project.opened.stores, "flights", project.cause())
        time.sleep(1)
        assert project.get("/v1/loops")[1]["loops"][0]["fault"] is None


def test_a_gateway_that_starts_with_nothing_serves_what_is_promoted_later(
    tmp_path: Path, models: list[Trained]
) -> None:
    with system.open(tmp_path) as opened:
        project = Project(tmp_path, opened)
        with served(project, "--set", "route_poll_seconds=0.1"):
            assert project.get("/readyz")[0] == 503
            project.register(models[0])
            project.promote(1)
            for _ in range(100):
                if project.get("/readyz")[0] == 200:
                    break
                time.sleep(0.05)
            project.until(1, 2)


def test_no_other_machine_is_served_without_a_key_and_a_taken_port_is_told(project: Project) -> None:
    done = lw("serve", "--host", "0.0.0.0", cwd=project.folder)
    assert done.returncode == 2
    assert "lw keys make" in done.stderr
    with served(project):
        done = lw("serve", "--port", project.url.rpartition(":")[2], cwd=project.folder)
    assert done.returncode == 1
    assert "cannot be had: Address already in use" in done.stderr


def test_what_is_served_is_said_when_it_is_ready(project: Project) -> None:
    with served(project, "--json") as running:
        assert running.process
        assert running.process.stdout
        said = json.loads(running.process.stdout.readline())
        assert said == {"url": project.url, "loops": {"flights": [1]}}


def test_whoever_predicts_is_asked_for_a_key_once_there_is_one(project: Project) -> None:
    """Over one connection, as clients do it: the fast way in must not be one around the guard."""
    body = json.dumps({"row": as_json(flights(1, 0))[0]})

    def asked(connection: HTTPConnection, *shown: str) -> int:
        headers = {"Authorization": f"Bearer {shown[0]}"} if shown else {}
        connection.request("POST", "/v1/loops/flights/predict", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def made(scope: str, *loops: str) -> tuple[str, str]:
        shown, kept = keys.make(
            SystemClock(), name="a test", owner="me", scopes=[keys.scope(scope)], lasts=None, loops=loops
        )
        project.opened.stores.keys.add(kept, project.cause())
        return shown, kept.id

    with (
        served(project, "--set", "route_poll_seconds=0.1"),
        closing(HTTPConnection(project.url.removeprefix("http://"), timeout=30)) as connection,
    ):
        assert [asked(connection) for _ in range(3)] == [200] * 3
        (good, identity), (viewer, _), (other, _) = made("predict"), made("view"), made("predict", "trains")
        time.sleep(1)
        for _ in range(3):  # again, for what was asked before may be answered otherwise
            assert asked(connection) == 401
            assert asked(connection, good) == 200
            assert [asked(connection, one) for one in (viewer, other)] == [403, 403]
            assert asked(connection, good[:-1]) == 401
        project.opened.stores.keys.revoke(identity, project.cause())
        time.sleep(1)
        assert [asked(connection, good) for _ in range(3)] == [401] * 3
