"""What the Open Inference Protocol asks of a gateway, however it is asked: over REST and over gRPC alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopwright.gateway.gateway import Gateway
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import Refused
from loopwright.predictions.journal import Line
from loopwright.protocols import tensors
from loopwright.protocols.bodies import refuse_tensors, refuse_values
from loopwright.protocols.tensors import Given, Wanted

NAME = "loopwright"
PLATFORM = "onnxruntime_onnx"
_SMALL_BYTES = 4_096
EXTENSIONS = ["binary_tensor_data", "model_repository"]
"""Of the repository the index; what is loaded is what is promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """The answer to one request."""

    loop: str
    version: int
    parameters: Mapping[str, str | bool]
    outputs: Sequence[Mapping[str, Any]]
    """Each with name, datatype, shape and flat data."""

    def told(self, identity: str | None, outputs: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """As JSON says it, with the outputs as they are or as they are shown; `identity` is the request's own."""
        named = {} if identity is None else {"id": identity}
        shown = self.outputs if outputs is None else outputs
        return {
            "model_name": self.loop,
            "model_version": str(self.version),
            **named,
            "parameters": self.parameters,
            "outputs": shown,
        }


class Inference:
    """Predicts on tensors of at most so many rows."""

    def __init__(self, gateway: Gateway, most_rows: int) -> None:
        self._gateway = gateway
        self._most_rows = most_rows

    def is_ready(self) -> bool:
        return any(state.served for state in self._gateway.states())

    def refuse_large(self, loop: str, content: bytes, version: int | None) -> None:
        """Looks at a body before anything is made of it. Raises `Refused`."""
        if len(content) > _SMALL_BYTES:
            schema = self._gateway.model(loop, version).schema
            refuse_tensors(content, schema)
            refuse_values(content, schema, self._most_rows)

    def infer(
        self, loop: str, version: int | None, inputs: Sequence[Given], wanted: Sequence[Wanted], unit: str | None
    ) -> Inferred:
        """Raises `Refused`, `StoreUnavailable`."""

        def rows_for(model: LoadedModel) -> list[dict[str, Any]]:
            tensors.check_wanted(model.predictor.classes, wanted)
            return tensors.rows(inputs, model.schema, self._most_rows)

        model, lines = self._gateway.predict_together(loop, rows_for, unit, version)
        return inferred(model, lines, wanted)


def inferred(model: LoadedModel, lines: Sequence[Line], wanted: Sequence[Wanted] = ()) -> Inferred:
    """What is told of predictions by one model. Raises `Refused` for outputs that it has not."""
    told: dict[str, str | bool] = {"prediction_ids": ",".join([line.id for line in lines]), "arm": lines[0].arm}
    if not lines[0].recorded:  # all rows of a request are, or none
        told["recorded"] = False
    return Inferred(
        loop=lines[0].loop,
        version=lines[0].version,
        parameters=told,
        outputs=tensors.outputs(lines, model.predictor.classes, wanted),
    )


def metadata(gateway: Gateway, loop: str, model: LoadedModel) -> dict[str, Any]:
    """Of a model: its versions that answer, and its tensors."""
    versions = sorted({arm.version for arm in gateway.loading.described(loop).route.arms})
    return {
        "name": loop,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": tensors.input_metadata(model.schema),
        "outputs": tensors.output_metadata(model.predictor.classes),
    }


def index(gateway: Gateway, *, only_ready: bool) -> list[dict[str, str]]:
    """Every version that answers, or should."""
    found = []
    for state in gateway.states():
        route = state.served.route if state.served else state.fault.route if state.fault else None
        is_ready = state.served is not None
        why = "" if is_ready or state.fault is None else state.fault.what
        if is_ready or not only_ready:
            versions = sorted({arm.version for arm in route.arms}) if route else []
            ready = "READY" if is_ready else "UNAVAILABLE"
            found += [
                {"name": state.loop, "version": str(version), "state": ready, "reason": why} for version in versions
            ]
    return found


def version(text: str | None) -> int | None:
    """As a path or a message names it. Raises `Refused`."""
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(404, f"{text[:20]!r} is no version", fix="a version is a number, such as 3")
    return int(text) if text else None
