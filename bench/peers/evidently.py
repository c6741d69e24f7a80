"""Evidently: its data summary, and its data drift with the tests and limits that it chooses itself."""
# Evidently is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import warnings
from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from evidently.presets import DataSummaryPreset

from bench.peers.asked import answer

warnings.simplefilter("ignore")


def describe(path: Path):
    return Report([DataSummaryPreset()]).run(read(path)).dict()


def compare(reference: Path, windows: list[Path]):
    before = read(reference)
    return [{"default": drifted(before, read(window))} for window in windows]


def drifted(before: Dataset, now: Dataset) -> list[str]:
    """What its drift preset computes of each column, without the preset's drawings: a third of the time.

    A p-value or a distance, of its own choice by rows and kind.
    """
    asked = Report([ValueDrift(column=name) for name in now.as_dataframe()])
    return [one["config"]["column"] for one in asked.run(now, before).dict()["metrics"] if is_over(one)]


def is_over(metric) -> bool:
    told = metric["config"]
    return metric["value"] < told["threshold"] if "p_value" in told["method"] else metric["value"] >= told["threshold"]


def read(path: Path) -> Dataset:
    """Strings and flags are told to be categories; else it takes strings for prose."""
    frame = pd.read_parquet(path)
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name].dtype) and frame[name].dtype != bool]
    times = [name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)]
    rest = [name for name in frame if name not in numbers and name not in times]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=rest, datetime_columns=times)
    return Dataset.from_pandas(frame, data_definition=definition)


if __name__ == "__main__":
    answer(describe, compare)
