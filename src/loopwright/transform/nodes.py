"""How a converter of skl2onnx adds nodes: under names that nothing else has, for the operator sets in `OPSET`."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto

from loopwright.transform.assembly import OPSET
from loopwright.transform.inputs import Array

Skl: TypeAlias = Any  # skl2onnx has no types: its scope, operator and container

_TYPES = {"f": TensorProto.FLOAT, "d": TensorProto.DOUBLE, "q": TensorProto.INT64, "l": TensorProto.INT64}


class Nodes:
    """Adds nodes to the graph under conversion; each call gives its output's name."""

    def __init__(self, scope: Skl, operator: Skl, container: Skl) -> None:
        self.scope, self.operator, self.container = scope, operator, container

    def __call__(
        self, kind: str, *inputs: str, domain: str = "", to: str | None = None, unread: int = 0, **attributes: object
    ) -> str:
        """`unread` outputs come after the one that is read."""
        output = to or self.scope.get_unique_variable_name(kind.lower())
        outputs = [output, *(self.scope.get_unique_variable_name("unread") for _ in range(unread))]
        name = self.scope.get_unique_operator_name(kind)
        version = OPSET[domain]
        self.container.add_node(
            kind, list(inputs), outputs, op_domain=domain, op_version=version, name=name, **attributes
        )
        return str(output)

    def const(self, value: Array | float, kind: str = "f") -> str:
        array = np.asarray(value, dtype=kind)
        name = self.scope.get_unique_variable_name("const")
        self.container.add_initializer(name, _TYPES[kind], list(array.shape), array.ravel().tolist())
        return str(name)

    def texts(self, value: str, shape: list[int]) -> str:
        """A constant that holds one text."""
        name = self.scope.get_unique_variable_name("text")
        self.container.add_initializer(name, TensorProto.STRING, shape, [value.encode()])
        return str(name)

    def cast(self, name: str, to: int) -> str:
        output = self.scope.get_unique_variable_name("cast")
        operator = self.scope.get_unique_operator_name("Cast")
        self.container.add_node("Cast", [name], [output], op_version=OPSET[""], name=operator, to=to)
        return str(output)

    def columns(self, to: int | None = None) -> list[str]:
        """Every input column alone, shape (rows, 1)."""
        found: list[str] = []
        for variable in self.operator.inputs:
            name = variable.full_name if to is None else self.cast(variable.full_name, to)
            width = variable.type.shape[1]
            found += [name] if width == 1 else [self._pick(name, index) for index in range(width)]
        return found

    def _pick(self, name: str, index: int) -> str:
        return self("Gather", name, self.const(np.array([index]), "q"), axis=1)

    def finish(self, columns: list[str]) -> None:
        self("Concat", *columns, to=self.operator.outputs[0].full_name, axis=1)

    def lookup(self, column: str, table: dict[str, int], default: int) -> str:
        values: dict[str, Any] = {
            "keys_strings": list(table),
            "values_int64s": list(table.values()),
            "default_int64": default,
        }
        return self("LabelEncoder", column, domain="ai.onnx.ml", **values)
