"""Who is asked, and how: ours, what one would write by hand, and the peers with their ways to serve."""

from __future__ import annotations

from collections.abc import Mapping

from bench.environment import BY_HAND
from bench.peers.served import ABSENT, NUMBERS, TEXTS
from bench.promoted import PATH
from bench.servers import Row, Way

OURS = "Loopwright"
_FITTED_APART = 0.03
"""A model that was fitted on other roundings answers otherwise by about so much."""
Server = tuple[str, str]
"""The environment, and the way."""


def _one(row: Row) -> object:
    return {"row": row}


def _many(row: Row) -> object:
    return {"rows": [row]}


def _instances(row: Row) -> object:
    return {"instances": [row]}


def _columns(row: Row) -> object:
    """The Open Inference Protocol, a column a tensor; MLServer makes a frame of it."""
    numbers = [{"name": name, "datatype": "FP32", "shape": [1, 1], "data": [row[name]]} for name in NUMBERS]
    texts = [
        {"name": name, "datatype": "BYTES", "shape": [1, 1], "data": [row[name] or ""],
         "parameters": {"content_type": "str"}}
        for name in TEXTS
    ]  # fmt: skip
    return {"parameters": {"content_type": "pd"}, "inputs": [*numbers, *texts]}


def _chances(row: Row) -> object:
    return {**_columns(row), "outputs": [{"name": "predict_proba"}]}  # type: ignore[dict-item]


def _tensors(row: Row) -> object:
    """The same protocol, a kind a tensor."""
    numbers = [ABSENT if row[name] is None else row[name] for name in NUMBERS]
    texts = [row[name] or "" for name in TEXTS]
    return {
        "inputs": [
            {"name": "numbers", "datatype": "FP32", "shape": [1, len(numbers)], "data": numbers},
            {"name": "texts", "datatype": "BYTES", "shape": [1, len(texts)], "data": texts},
        ]
    }


WAY = Way(path=PATH, shape=_one)
BARE = {"bare ASGI on uvicorn": (BY_HAND, "uvicorn"), "bare RSGI on Granian": (BY_HAND, "granian")}
STATIC = {"static answer on Granian": (BY_HAND, "static")}
FASTAPI = {"FastAPI + ONNX Runtime": (BY_HAND, "fastapi")}
FLOORS: Mapping[str, Server] = BARE | STATIC | FASTAPI | {"FastAPI + joblib": (BY_HAND, "joblib")}
TRITON = "pytriton"
PEERS: Mapping[str, Mapping[str, Server]] = {
    "mlserver": {"MLServer, sklearn": ("mlserver", "sklearn"), "MLServer, MLflow": ("mlserver", "mlflow")},
    "bentoml": {"BentoML, plain": ("bentoml", "plain"), "BentoML, batching": ("bentoml", "batching")},
    "litserve": {"LitServe, plain": ("litserve", "plain"), "LitServe, batching": ("litserve", "batching")},
    "ray": {"Ray Serve, plain": ("ray", "plain"), "Ray Serve, batching": ("ray", "batching")},
    "kserve": {"KServe": ("kserve", "plain")},
    TRITON: {"Triton through PyTriton": (TRITON, "onnx")},
}
_SELF_FITTED = Way(path="/predict", shape=_one, within=_FITTED_APART)
_WAYS: Mapping[Server, Way] = {
    (BY_HAND, "static"): Way(path="/predict", shape=_one, checked=False),
    (BY_HAND, "joblib"): _SELF_FITTED,
    ("mlserver", "sklearn"): Way(path="/v2/models/credit/infer", shape=_chances, within=_FITTED_APART),
    ("mlserver", "mlflow"): Way(path="/v2/models/credit/infer", shape=_columns, within=_FITTED_APART),
    ("bentoml", "plain"): _SELF_FITTED,
    ("bentoml", "batching"): Way(path="/predict", shape=_many, within=_FITTED_APART),
    ("litserve", "plain"): _SELF_FITTED,
    ("litserve", "batching"): _SELF_FITTED,
    ("ray", "plain"): _SELF_FITTED,
    ("ray", "batching"): _SELF_FITTED,
    ("kserve", "plain"): Way(path="/v1/models/credit:predict", shape=_instances, within=_FITTED_APART),
    (TRITON, "onnx"): Way(path="/v2/models/credit/infer", shape=_tensors),
}


def way_of(server: Server) -> Way:
    return _WAYS.get(server, Way(path="/predict", shape=_one))
