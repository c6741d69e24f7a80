"""Keeps machine-learning models right in production: one Python file, kept turning."""

from importlib import import_module
from typing import TYPE_CHECKING

from loopwright.data.declare import Validate
from loopwright.data.table import Table
from loopwright.errors import LoopwrightError
from loopwright.judge.declare import Judge
from loopwright.judge.gates import at_least, at_most, not_worse, slice_gap
from loopwright.loop import Loop
from loopwright.monitor.declare import Monitor
from loopwright.pipeline.context import Context
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.step import Rejected, Wait, resources, step
from loopwright.retrain.triggers import Retrain, every, on_decay, on_drift, on_new_data
from loopwright.rollout.plan import AB, Canary, Now, Shadow
from loopwright.system import open  # noqa: A004 - reads as lw.open()
from loopwright.train.search import Search
from loopwright.train.split import Split

if TYPE_CHECKING:
    from loopwright.data.query import Query
    from loopwright.train.data import TrainingData
    from loopwright.transform.features import Calendar, Cross, Distance, HashBuckets, Log1p, Ratio, Words

__version__ = "0.1.0"

__all__ = [
    "AB",
    "Calendar",
    "Canary",
    "Context",
    "Cross",
    "Distance",
    "HashBuckets",
    "Judge",
    "Log1p",
    "Loop",
    "LoopwrightError",
    "Monitor",
    "Now",
    "Pipeline",
    "Query",
    "Ratio",
    "Rejected",
    "Retrain",
    "Search",
    "Shadow",
    "Split",
    "Table",
    "TrainingData",
    "Validate",
    "Wait",
    "Words",
    "at_least",
    "at_most",
    "every",
    "not_worse",
    "on_decay",
    "on_drift",
    "on_new_data",
    "open",
    "resources",
    "slice_gap",
    "step",
]

_LATE = {
    "Query": "loopwright.data.query",
    "TrainingData": "loopwright.train.data",
    **dict.fromkeys(
        ("Calendar", "Cross", "Distance", "HashBuckets", "Log1p", "Ratio", "Words"), "loopwright.transform.features"
    ),
}
"""What stands on Arrow, Polars or scikit-learn is imported when it is asked for."""


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module 'loopwright' has no attribute {name!r}")
    try:
        return getattr(import_module(_LATE[name]), name)
    except ModuleNotFoundError as error:
        from loopwright.errors import MissingExtra

        raise MissingExtra(
            f"lw.{name} needs {error.name}, which is not installed", fix='pip install "loopwright[models]"'
        ) from None


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
