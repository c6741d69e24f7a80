"""deepchecks: its data integrity suite over a pandas frame. Its licence is the AGPL: it runs here and nowhere else."""
# deepchecks is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import warnings
from pathlib import Path

import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.suites import data_integrity

from bench.peers.asked import answer

warnings.simplefilter("ignore")


def describe(path: Path):
    frame = pd.read_parquet(path)
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype) and name != "at"]
    rows = Dataset(frame, cat_features=[*texts, "late"], datetime_name="at")
    return data_integrity().run(rows, with_display=False).to_json(with_display=False)


if __name__ == "__main__":
    answer(describe)
