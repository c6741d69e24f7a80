"""A row that fits a schema, made from what training saw: for the document of the API, and to try a model."""

from __future__ import annotations

from typing import Any

from loopwright.data.schema import Column, Schema
from loopwright.gateway.decode import microseconds

_TIME = "2026-01-31T13:45:00Z"


def example(schema: Schema) -> dict[str, Any]:
    """A value for every column.

    >>> example(Schema(columns=(Column(name="distance", kind="integer", missing=False, low=96.0, high=4983.0),)))
    {'distance': 96}
    """
    return {column.name: _value(column) for column in schema.columns}


def _value(column: Column) -> str | int | float | bool:
    match column.kind:
        case "string":
            return column.values[0] if column.values else "text"
        case "boolean":
            return True
        case "time":
            return column.low if isinstance(column.low, str) and microseconds(column.low) is not None else _TIME
        case "integer":
            return int(column.low) if isinstance(column.low, int | float) else 1
        case "float":
            return float(column.low) if isinstance(column.low, int | float) else 1.0
        case "list":
            raise AssertionError("no model takes lists")
