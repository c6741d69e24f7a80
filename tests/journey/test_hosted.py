"""`lw serve` behind a hosting platform, and over gRPC with several workers: real processes, real sockets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw
from tests.journey.test_keys import status
from tests.journey.test_serve import Project, Trained, as_json, flights, served, trained

from loopwright import system
from loopwright.predictions import reading

FRAME = flights(3, seed=1)
ROWS = as_json(FRAME)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("bundles") / "20", 20)


@pytest.fixture
def project(tmp_path: Path, model: Trained) -> Iterator[Project]:
    with system.open(tmp_path) as opened:
        made = Project(tmp_path, opened)
        made.register(model)
        made.promote(1)
        yield made


GUARDED = ("/v1/loops", "/v1/loops/flights", "/metrics", "/version", "/openapi.json", "/v2", "/v2/models/flights")


@pytest.mark.parametrize(
    ("platform", "health", "predict"), [("sagemaker", "/ping", "/invocations"), ("vertex", "/up", "/ask")]
)
def test_a_platform_is_answered_on_its_own_paths_without_a_key_and_nobody_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, platform: str, health: str, predict: str
) -> None:
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/up")
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/ask")
    with served(project, "--platform", platform):
        assert "//0.0.0.0:" in project.url
        project.url = project.url.replace("0.0.0.0", "127.0.0.1")
        assert status(project.url + health, Host="model.example") == 200
        found = project.post(predict, {"instances": ROWS})
        assert (found[0], len(found[1]["predictions"])) == (200, 3)
        assert project.post(predict, {"instances": [{}]})[0] == 422
        assert [status(project.url + path) for path in GUARDED] == [401] * len(GUARDED)
        others = ["/v1/loops/flights/predict", "/v2/models/flights/infer", "/v1/labels", predict + "/", "/nothing"]
        others += [one for one in ("/ask", "/invocations") if one != predict]
        assert [project.post(path, {"row": ROWS[0], "instances": ROWS})[0] for path in others] == [401] * len(others)
        assert status(project.url + predict, Origin="http://evil.example") == 403
    assert len(reading.read(project.opened.workspace, "flights").lines) == 3


def test_without_the_word_an_address_that_others_reach_needs_keys_and_vertex_its_routes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIP_HEALTH_ROUTE", raising=False)
    done = lw("serve", "--port", "0", "--host", "0.0.0.0", cwd=project.folder)
    assert (done.returncode, "there is none" in done.stderr) == (2, True)
    done = lw("serve", "--port", "0", "--platform", "vertex", cwd=project.folder)
    assert done.returncode != 0
    assert "AIP_HEALTH_ROUTE is not set" in done.stderr


def test_grpc_is_answered_by_every_worker_and_by_those_that_are_left(project: Project) -> None:
    grpc_client = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install 'loopwright[dev]'")
    from tests.journey.test_protocols import inputs

    def ask(address: str, times: int) -> int:
        answered = 0
        for number in range(times):  # a connection each: the system shares them out
            options = [("grpc.use_local_subchannel_pool", 1), ("loopwright.number", number)]
            with grpc_client.InferenceServerClient(address, channel_args=options) as client:
                answered += len(client.infer("flights", inputs(grpc_client, FRAME)).as_numpy("label")) == len(ROWS)
        return answered

    with served(project, "--workers", "2", "--grpc-port", "0"):
        assert project.process
        assert project.process.stdout
        address = project.process.stdout.readline().split("gRPC on ")[1].strip()
        assert ask(address, 20) == 20
        root = project.opened.workspace / "predictions" / "flights"
        assert len(list(root.glob("*.jsonl"))) >= 2  # each worker's threads have files of their own
        writers = {_writer(file, project.workers()) for file in root.glob("*.jsonl")}
        assert writers == set(project.workers())
        os.kill(project.workers()[0], signal.SIGTERM)
        answered = _patiently(lambda: ask(address, 5))
        assert answered == 5


def _writer(file: Path, workers: list[int]) -> int | None:
    for one in workers:
        for opened in Path(f"/proc/{one}/fd").iterdir():
            if opened.is_symlink() and os.readlink(opened) == str(file):
                return one
    return None


def _patiently(ask: Any) -> Any:
    """A connection that was made to a worker as it went may be broken once."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - the client's own kind
        return ask()
