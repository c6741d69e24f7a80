"""The model that everybody serves, where it is scikit-learn's own: fitted by each peer from the same rows.

`FOLDER/training.json` holds the names of numbers and texts, the rows and the labels. `fitted` gives the pipeline,
`frame` what one request brings: a missing number is NaN, a missing text is empty. A peer is started as
`python -m bench.peers.NAME WAY FOLDER PORT`, and serves until it is told to end.
"""

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NUMBERS = [f"number_{i}" for i in range(12)]
TEXTS = [f"text_{i}" for i in range(8)]
HOST = "127.0.0.1"
FOLDER = "BENCH_SERVED"
"""Names the folder to whatever a server starts by itself."""
ABSENT = -1e30
"""A missing number, where JSON's null is not taken."""


def pipeline() -> Any:
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
    from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # type: ignore[import-untyped]

    before = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), TEXTS),
    )
    return make_pipeline(before, LGBMClassifier(n_estimators=100, n_jobs=1, random_state=0, verbose=-1))


def frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    import pandas as pd

    columns = {name: [row[name] for row in rows] for name in NUMBERS}
    found = pd.DataFrame(columns).astype("float32")
    return found.assign(**{name: pd.Series([row[name] or "" for row in rows], dtype=object) for name in TEXTS})


def fitted(folder: Path) -> Any:
    """Fitted once a folder and environment."""
    import joblib  # type: ignore[import-untyped]

    kept = folder / f"{Path(sys.prefix).name}.joblib"
    if not kept.exists():
        told = json.loads((folder / "training.json").read_text())
        joblib.dump(pipeline().fit(frame(told["rows"]), told["labels"]), kept)
    return joblib.load(kept)


def answer(model: Any, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The chance of the second class, of each row."""
    import warnings

    warnings.simplefilter("ignore")  # of names that LightGBM saw and does not see
    chances: list[float] = model.predict_proba(frame(rows))[:, 1].tolist()
    return chances


def serve(ways: Mapping[str, Callable[[Path, int], None]]) -> None:
    way, folder, port = sys.argv[1:]
    os.environ[FOLDER] = folder
    ways[way](Path(folder), int(port))


def free_port() -> int:
    """For what a server opens beside the port it is asked on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        number: int = found.getsockname()[1]
        return number


def folder() -> Path:
    return Path(os.environ[FOLDER])
