"""`lw serve` through every door: real clients, one bundle, and the same prediction for the same rows whoever asks."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from tests.journey.test_serve import Project, Trained, as_json, flights, served, trained

from loopwright import system
from loopwright.data.source import open_source
from loopwright.predictions import batch
from loopwright.transform import bundle

grpc_client = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install 'loopwright[dev]'")
http_client = pytest.importorskip("tritonclient.http", reason="needs tritonclient: pip install 'loopwright[dev]'")

ARROW = "application/vnd.apache.arrow.stream"
ROWS = flights(300, seed=9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("bundles") / "40", 40)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, model: Trained) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    with system.open(folder) as opened:
        made = Project(folder, opened)
        made.register(model)
        made.promote(1)
        with served(made, "--grpc-port", "0"):
            assert made.process
            assert made.process.stdout
            made.grpc = made.process.stdout.readline().split("gRPC on ")[1].strip()  # type: ignore[attr-defined]
            yield made


def inputs(kind: Any, rows: pl.DataFrame, **how: Any) -> list[Any]:
    """As whoever uses these clients gives columns: NaN and an empty text for what is not known."""
    columns = {
        "carrier": ("BYTES", np.array(rows["carrier"].fill_null("").to_list(), dtype=np.object_)),
        "departure": ("INT64", rows["departure"].dt.epoch("us").to_numpy()),
        "distance": ("INT64", rows["distance"].to_numpy()),
        "wind": ("FP64", rows["wind"].fill_null(math.nan).to_numpy()),
    }
    found = []
    for name, (datatype, values) in columns.items():
        found.append(kind.InferInput(name, [len(values)], datatype))
        found[-1].set_data_from_numpy(values, **how)
    return found


def rest(project: Project) -> Any:
    return http_client.InferenceServerClient(project.url.removeprefix("http://"))


def rpc(project: Project) -> Any:
    return grpc_client.InferenceServerClient(project.grpc)  # type: ignore[attr-defined]


def test_a_client_of_triton_finds_its_way_over_rest(project: Project) -> None:
    with rest(project) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("flights")
        assert client.is_model_ready("flights", "1")
        assert not client.is_model_ready("trains")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "model_repository"]
        assert [one["name"] for one in client.get_model_metadata("flights")["outputs"]] == ["label", "probabilities"]
        assert client.get_model_repository_index() == [
            {"name": "flights", "version": "1", "state": "READY", "reason": ""}
        ]
        with pytest.raises(Exception, match="no loop 'trains' is served"):
            client.infer("trains", inputs(http_client, ROWS))
        with pytest.raises(Exception, match="there is no output 'nothing'"):
            client.infer("flights", inputs(http_client, ROWS), outputs=[http_client.InferRequestedOutput("nothing")])


def test_a_client_of_triton_finds_its_way_over_grpc(project: Project) -> None:
    with rpc(project) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("flights", "1")
        assert list(client.get_server_metadata().extensions) == ["binary_tensor_data", "model_repository"]
        assert [one.name for one in client.get_model_metadata("flights").outputs] == ["label", "probabilities"]
        assert [one.state for one in client.get_model_repository_index().models] == ["READY"]
        with pytest.raises(Exception, match="no loop 'trains' is served"):
            client.infer("trains", inputs(grpc_client, ROWS))


def test_ids_units_and_versions_go_through_the_client(project: Project) -> None:
    given = inputs(http_client, ROWS.head(2), binary_data=False)
    with rest(project) as client:
        wanted = [http_client.InferRequestedOutput("label", binary_data=False)]
        answered = client.infer("flights", given, "1", wanted, "mine", parameters={"unit": "passenger-1"})
    told = answered.get_response()
    assert (told["id"], told["model_version"], [one["name"] for one in told["outputs"]]) == ("mine", "1", ["label"])
    assert len(told["parameters"]["prediction_ids"].split(",")) == 2


def arrow(project: Project, rows: pl.DataFrame) -> pl.DataFrame:
    sink = pa.BufferOutputStream()
    table = rows.to_arrow()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    request = urllib.request.Request(
        f"{project.url}/v1/loops/flights/predict", sink.getvalue().to_pybytes(), {"Content-Type": ARROW}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return pl.DataFrame(pa.ipc.open_stream(answer.read()).read_all())


def of_arrow(project: Project, _model: Trained, _folder: Path) -> Any:
    return arrow(project, ROWS).select("probability_false", "probability_true").to_numpy()


def of_v1(project: Project, _model: Trained, _folder: Path) -> Any:
    return [list(one["probabilities"].values()) for one in project.predict(*as_json(ROWS))]


def of_v1_row_by_row(project: Project, _model: Trained, _folder: Path) -> Any:
    return [list(project.predict(row)[0]["probabilities"].values()) for row in as_json(ROWS)]


def of_v2_json(project: Project, _model: Trained, _folder: Path) -> Any:
    given = {
        "carrier": ("BYTES", ROWS["carrier"].to_list()),
        "departure": ("BYTES", [row["departure"] for row in as_json(ROWS)]),
        "distance": ("INT64", ROWS["distance"].to_list()),
        "wind": ("FP64", ROWS["wind"].to_list()),
    }
    tensors = [{"name": n, "datatype": t, "shape": [len(ROWS)], "data": v} for n, (t, v) in given.items()]
    status, told = project.post("/v2/models/flights/infer", {"inputs": tensors})
    assert status == 200, told
    return np.reshape(told["outputs"][1]["data"], (-1, 2))


def of_v2_binary(project: Project, _model: Trained, _folder: Path) -> Any:
    with rest(project) as client:
        return client.infer("flights", inputs(http_client, ROWS)).as_numpy("probabilities")


def of_grpc(project: Project, _model: Trained, _folder: Path) -> Any:
    with rpc(project) as client:
        return client.infer("flights", inputs(grpc_client, ROWS)).as_numpy("probabilities")


def of_invocations(project: Project, _model: Trained, _folder: Path) -> Any:
    body = {"dataframe_records": as_json(ROWS), "params": {"full": True}}
    return [list(one["probabilities"].values()) for one in project.post("/invocations", body)[1]["predictions"]]


def of_batch(_project: Project, model: Trained, folder: Path) -> Any:
    path = folder / "rows.parquet"
    ROWS.write_parquet(path)
    found = pl.concat(batch.predict(bundle.read(model.folder), open_source(str(path))))
    return found.select("probability_false", "probability_true").to_numpy()


WAYS = (of_v1_row_by_row, of_v2_json, of_v2_binary, of_grpc, of_arrow, of_invocations, of_batch)


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_the_same_rows_get_the_same_prediction_bit_for_bit(
    project: Project, model: Trained, tmp_path: Path, way: Any
) -> None:
    online = np.asarray(of_v1(project, model, tmp_path), dtype=np.float32)
    found = np.asarray(way(project, model, tmp_path), dtype=np.float32)
    np.testing.assert_array_equal(found, online)


def test_they_are_what_the_python_model_says(project: Project, model: Trained, tmp_path: Path) -> None:
    assert np.abs(np.asarray(of_v1(project, model, tmp_path)) - model.probabilities(ROWS)).max() < 1e-5


def test_labels_are_the_same_through_every_door(project: Project) -> None:
    online = [one["label"] for one in project.predict(*as_json(ROWS))]
    with rest(project) as client, rpc(project) as other:
        assert client.infer("flights", inputs(http_client, ROWS)).as_numpy("label").tolist() == online
        assert other.infer("flights", inputs(grpc_client, ROWS)).as_numpy("label").tolist() == online
    assert arrow(project, ROWS)["label"].to_list() == online
    assert project.post("/invocations", {"instances": as_json(ROWS)})[1]["predictions"] == online


def test_the_platforms_find_the_loop_healthy(project: Project) -> None:
    assert json.dumps(project.get("/ping")) == '[200, {"status": "ready"}]'
