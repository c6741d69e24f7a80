"""A PyTorch module behind the transform, as a graph and as a model that parity can ask.

The module takes float32 of shape (rows, features) and gives logits: (rows,) or (rows, 1) for two classes (the second
one's), (rows, classes) otherwise; or numbers, (rows,) or (rows, 1). Classes are the sorted labels of the target.
PyTorch is never imported before a module of it was given.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeGuard

import numpy as np
import onnx

from loopwright.errors import DeclarationError
from loopwright.transform.assembly import FEATURES, OPSET, classify, probabilities_of
from loopwright.transform.exported import Target
from loopwright.transform.inputs import Array

_TRACED_ROWS = 2  # with one row, PyTorch may take the number of rows for a constant
_RUN_ROWS = 8_192


def is_network(model: object) -> TypeGuard[Any]:
    """Whether it is a module, or a tuple (transform, module); without importing PyTorch."""
    last = model[1] if isinstance(model, tuple) and len(model) == 2 else model
    return any(kind.__module__ == "torch.nn.modules.module" for kind in type(last).__mro__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A module with `predict` and `predict_proba`; `width` is the number of its outputs."""

    module: Any
    target: Target
    features: int
    width: int

    @classmethod
    def of(cls, module: Any, matrix: Array, target: Target) -> Network:
        """Raises `DeclarationError` when what the module gives does not fit the target."""
        found = _run(module, matrix[:_TRACED_ROWS])
        rows = min(len(matrix), _TRACED_ROWS)
        width = 1 if found.ndim == 1 else found.shape[-1]
        fits = {1, len(target.classes)} if target.task == "binary" else {len(target.classes) or 1}
        if found.ndim > 2 or found.shape[0] != rows or width not in fits:
            raise DeclarationError(
                f"{type(module).__name__} gives the shape {found.shape} for {rows} rows",
                where="what train() returns",
                fix=_wanted(target),
            )
        return cls(module=module, target=target, features=matrix.shape[1], width=width)

    def predict_proba(self, matrix: Array) -> Array:
        return probabilities_of(self._scores(matrix), logits=True)

    def predict(self, matrix: Array) -> Array:
        if self.target.task == "regression":
            return np.asarray(self._scores(matrix)[:, 0])
        found = self.predict_proba(matrix).argmax(axis=1)
        return np.asarray(np.asarray(self.target.classes)[found])

    def graph(self) -> onnx.ModelProto:
        """From `features` to label and probabilities, or to the value."""
        torch, file = import_module("torch"), io.BytesIO()
        with _quietly(self.module) as device, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs no further package calls itself old
            torch.onnx.export(
                self.module,
                (torch.zeros(_TRACED_ROWS, self.features, device=device),),
                file,
                dynamo=False,
                opset_version=OPSET[""],
                input_names=[FEATURES],
                output_names=["scores"],
                dynamic_axes={FEATURES: {0: "rows"}, "scores": {0: "rows"}},
            )
        model = onnx.load_from_string(file.getvalue())
        if self.target.task != "regression":
            classify(model, "scores", self.width, self.target.classes, logits=True)
        return model

    def _scores(self, matrix: Array) -> Array:
        """Shape (rows, width)."""
        parts = [_run(self.module, matrix[at : at + _RUN_ROWS]) for at in range(0, len(matrix), _RUN_ROWS)]
        return np.concatenate(parts).reshape(len(matrix), self.width)


def _wanted(target: Target) -> str:
    if target.task == "regression":
        return "give one number a row: (rows,) or (rows, 1)"
    several = f"give one logit for each of the {len(target.classes)} classes: (rows, {len(target.classes)})"
    if target.task == "binary":
        return f"{several}; or the second one's: (rows,) or (rows, 1)"
    return f'{several}; or, where the target holds numbers, say task="regression"'


def _run(module: Any, matrix: Array) -> Array:
    torch = import_module("torch")
    try:
        with _quietly(module) as device:
            found = module(torch.from_numpy(np.ascontiguousarray(matrix)).to(device))
    except (RuntimeError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DeclarationError(
            f"{type(module).__name__} does not take float32 of shape {matrix.shape}: {reason}",
            where="what train() returns",
            fix="return a module that takes the transform's columns side by side as float32, with float32 weights",
        ) from error
    if not isinstance(found, torch.Tensor):
        raise DeclarationError(
            f"{type(module).__name__} gives a {type(found).__name__}",
            where="what train() returns",
            fix="return a module whose forward() gives one tensor",
        )
    return np.asarray(found.float().cpu().numpy())


@contextmanager
def _quietly(module: Any) -> Iterator[Any]:
    """Without gradients, as for predicting, and afterwards each part as it was; gives where the weights are."""
    torch = import_module("torch")
    modes = [(part, part.training) for part in module.modules()]
    weights = next(iter([*module.parameters(), *module.buffers()]), None)
    module.eval()
    try:
        with torch.no_grad():
            yield "cpu" if weights is None else weights.device
    finally:
        for part, mode in modes:
            part.training = mode
