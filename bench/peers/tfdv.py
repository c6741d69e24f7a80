"""TensorFlow Data Validation: statistics of a pandas frame in this process, its quickest, and its drift comparators.

It has no limits for drift unless one is set. Two are told: 0.3, which BigQuery's `ML.TFDV_VALIDATE` takes when asked
for none, and 0.1, both for the Jensen-Shannon divergence of every column.
"""
# TensorFlow Data Validation is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from pathlib import Path

import pandas as pd
import tensorflow_data_validation as tfdv

from bench.peers.asked import answer

LIMITS = (0.1, 0.3)


def describe(path: Path):
    return statistics(path).SerializeToString()


def compare(reference: Path, windows: list[Path]):
    before = statistics(reference)
    schema = tfdv.infer_schema(before)
    for feature in schema.feature:
        feature.drift_comparator.jensen_shannon_divergence.threshold = 1.0
    return [flagged(tfdv.validate_statistics(statistics(one), schema, previous_statistics=before)) for one in windows]


def flagged(anomalies) -> dict[str, list[str]]:
    distances = {
        info.path.step[0]: max(one.value for one in info.drift_measurements) for info in anomalies.drift_skew_info
    }
    return {f"above {limit}": [name for name, value in distances.items() if value > limit] for limit in LIMITS}


def statistics(path: Path):
    """Times as whole numbers and flags as such: it drops columns of other kinds with a warning."""
    frame = pd.read_parquet(path)
    for name in frame:
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
            frame[name] = frame[name].astype("int64")
        elif frame[name].dtype == bool:
            frame[name] = frame[name].astype("int8")
    return tfdv.generate_statistics_from_dataframe(frame)


if __name__ == "__main__":
    answer(describe, compare)
