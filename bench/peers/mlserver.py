"""MLServer: its scikit-learn runtime, and MLflow's, each in the server's own process, which is quicker than a pool."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

from bench.peers import served
from bench.peers.served import HOST, NUMBERS, TEXTS


def start(room: Path, port: int, implementation: str, uri: Path) -> None:
    room.mkdir(exist_ok=True)
    told = {"name": "credit", "implementation": implementation, "parameters": {"uri": str(uri)}}
    (room / "model-settings.json").write_text(json.dumps(told))
    settings = {
        "host": HOST, "http_port": port, "grpc_port": served.free_port(), "metrics_endpoint": None,
        "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    (room / "settings.json").write_text(json.dumps(settings))
    script = Path(sys.executable).parent / "mlserver"
    os.execv(script, [str(script), "start", str(room)])


def sklearn(folder: Path, port: int) -> None:
    served.fitted(folder)
    start(folder / "mlserver-sklearn", port, "mlserver_sklearn.SKLearnModel", folder / "mlserver.joblib")


def mlflow(folder: Path, port: int) -> None:
    kept = folder / "mlflow-model"
    if not kept.exists():
        import mlflow.sklearn
        import numpy as np
        from mlflow.types import ColSpec, Schema, TensorSpec

        columns = [ColSpec("float", name, required=False) for name in NUMBERS]
        schema = Schema(columns + [ColSpec("string", name) for name in TEXTS])
        chances = Schema([TensorSpec(np.dtype("float64"), (-1, 2))])
        mlflow.sklearn.save_model(
            served.fitted(folder), kept, pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle",
            signature=mlflow.models.ModelSignature(inputs=schema, outputs=chances),
        )  # fmt: skip
    start(folder / "mlserver-mlflow", port, "mlserver_mlflow.MLflowRuntime", kept)


if __name__ == "__main__":
    served.serve({"sklearn": sklearn, "mlflow": mlflow})
