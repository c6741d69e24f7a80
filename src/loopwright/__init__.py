"""Keeps machine-learning models right in production: one Python file, kept turning."""

from typing import TYPE_CHECKING

from loopwright.data.table import Table
from loopwright.errors import LoopwrightError
from loopwright.pipeline.context import Context
from loopwright.pipeline.formats import register_format
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.step import Rejected, Step, Wait, resources, step
from loopwright.system import System, open  # noqa: A004 - reads as lw.open()

if TYPE_CHECKING:
    from loopwright.data.query import Query

__version__ = "0.1.0"

__all__ = [
    "Context",
    "LoopwrightError",
    "Pipeline",
    "Query",
    "Rejected",
    "Step",
    "System",
    "Table",
    "Wait",
    "open",
    "register_format",
    "resources",
    "step",
]


def __getattr__(name: str) -> object:
    """`Query` stands on Arrow, so it is imported when it is asked for."""
    if name == "Query":
        from loopwright.data.query import Query

        return Query
    raise AttributeError(f"module 'loopwright' has no attribute {name!r}")
