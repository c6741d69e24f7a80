"""The native JSON API, version 1, as the edge reads and tells it: what a gateway takes and says, with less to do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loopwright.edge.runner import Runner
from loopwright.gateway.refused import Refused
from loopwright.gateway.unit import unit_of
from loopwright.transform import strict_json

FORM = '{"row": {...}} or {"rows": [{...}, ...]}'
BODY_BYTES, ROWS = 16 << 20, 50_000
_FIELDS = {"row", "rows", "unit"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for."""

    rows: Sequence[Any]
    unit: str | None
    is_one: bool


def predict(runner: Runner, content: bytes) -> dict[str, Any]:
    """The answer to a body. Raises `Refused`, `StoreUnavailable`."""
    asked = read(content)
    answers = runner.predict(asked.rows, asked.unit)
    return {"prediction": answers[0]} if asked.is_one else {"predictions": answers}


def read(content: bytes) -> Asked:
    """Raises `Refused`: 400 for no JSON, 422 for another than is expected, 413 for too many rows."""
    try:
        body = strict_json.decoded(content)
    except strict_json.NoJson as error:
        raise Refused(400, f"the body is no JSON: {error}", fix=f"send {FORM}") from None
    if not isinstance(body, dict) or not body.keys() <= _FIELDS:
        raise Refused(422, "the body is not what is expected here", fix=f"send {FORM}")
    if ("row" in body) == ("rows" in body):
        raise Refused(422, "the body needs either row or rows", fix=f"send {FORM}")
    return Asked(_rows(body), unit_of(body.get("unit")), is_one="row" in body)


def _rows(body: Mapping[str, Any]) -> Sequence[Any]:
    if "row" in body:
        return [body["row"]]
    rows = body["rows"]
    if not isinstance(rows, list) or not rows:
        raise Refused(422, "rows is empty, or no array: there is nothing to predict", fix=f"send {FORM}")
    if len(rows) > ROWS:
        raise Refused(413, f"the body has more than {ROWS:,} rows", fix="send fewer rows at once")
    return rows


def loops(runner: Runner) -> dict[str, Any]:
    return {"loops": [_state(runner)]}


def loop(runner: Runner) -> dict[str, Any]:
    """With the task, the columns, and what waits to be handed in."""
    model, standing = runner.predictor, runner.journal.standing()
    return _state(runner) | {
        "task": model.task,
        "classes": list(model.classes),
        "schema": runner.decoder.schema.to_dict(),
        "journal": asdict(standing),
    }


def refusal(refused: Refused) -> dict[str, Any]:
    error = {"what": refused.what, "where": refused.where, "fix": refused.fix}
    problems = {"problems": [asdict(one) for one in refused.problems]} if refused.problems else {}
    return {"error": error} | problems


def encoded(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _state(runner: Runner) -> dict[str, Any]:
    place = runner.place
    return {
        "name": place.loop,
        "is_served": True,
        "version": place.version,
        "digest": place.digest,
        "route": None,
        "fault": None,
        "predictions": runner.predictions,
        "invalid": runner.invalid,
    }
