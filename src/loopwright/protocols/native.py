"""The native JSON API as the hot path reads and tells it: bodies straight into the type of the model's rows.

Says byte for byte what `v1` says; what is not plainly right goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from loopwright.gateway.answering import Read
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.typed import Misfit
from loopwright.gateway.unit import LONGEST
from loopwright.predictions.journal import Line
from loopwright.protocols.bodies import Limits
from loopwright.protocols.plain import Plain

_ENCODE = msgspec.json.Encoder().encode
_Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)] | None
_UNSET = msgspec.UNSET


class _Class(msgspec.Struct, gc=False):
    id: str
    version: int
    arm: str
    label: Any
    probabilities: Any
    recorded: bool | msgspec.UnsetType = _UNSET


class _Value(msgspec.Struct, gc=False):
    id: str
    version: int
    arm: str
    value: Any
    recorded: bool | msgspec.UnsetType = _UNSET


class _One(msgspec.Struct, gc=False):
    prediction: Any


class _Many(msgspec.Struct, gc=False):
    predictions: Any


class Native(Plain):
    """Requests of `/v1/loops/NAME/predict`."""

    name = "v1"

    def __init__(self, limits: Limits, plainly: Callable[[str, bytes], Response]) -> None:
        super().__init__("/v1", plainly)
        self._limits = limits

    def decoder(self, model: LoadedModel) -> Any:
        row = model.typed.row
        fields: list[Any] = [
            ("row", row | msgspec.UnsetType, _UNSET),
            ("rows", list.__class_getitem__(row) | msgspec.UnsetType, _UNSET),
            ("unit", _Unit, None),
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Body", fields, forbid_unknown_fields=True, gc=False))

    def read(self, decoder: Any, content: bytes) -> Read:
        """Raises `Misfit`, or an error of msgspec."""
        most = self._limits.rows
        if len(content) > 2 * most and content.count(b"{") > most + 1:
            raise Misfit
        body = decoder.decode(content)
        row, rows = body.row, body.rows
        if rows is _UNSET:
            if row is _UNSET:
                raise Misfit
            return Read((row,), body.unit, is_one=True)
        if row is not _UNSET or not rows:
            raise Misfit
        return Read(rows, body.unit, is_one=False)

    def tell(self, read: Read, _model: LoadedModel, lines: Sequence[Line]) -> bytes:
        if read.is_one:
            return _ENCODE(_One(prediction(lines[0])))
        return _ENCODE(_Many([prediction(line) for line in lines]))


def prediction(line: Line) -> _Class | _Value:
    """As every answer in JSON tells it."""
    recorded = _UNSET if line.recorded else False
    if line.value is not None:
        return _Value(line.id, line.version, line.arm, line.value, recorded)
    return _Class(line.id, line.version, line.arm, line.label, line.probabilities, recorded)
