"""Small graphs and bundles for tests, made by hand so that no estimator need be fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.transform import bundle
from loopwright.transform.columns import Column, Kind
from loopwright.transform.manifest import digest_of

INPUTS = (Column(name="carrier", kind=Kind.STRING), Column(name="distance", kind=Kind.NUMBER))
SCHEMA = Schema(
    columns=(
        SchemaColumn(name="carrier", kind="string", missing=True, values=("DL", "UA")),
        SchemaColumn(name="distance", kind="integer", missing=False, low=10.0, high=99.0),
    ),
    key=("id",),
)
LINEAGE: Mapping[str, Any] = {
    "run": "01RUN",
    "data": {"flights": {"version": 3}},
    "code": "c" * 64,
    "environment": "e" * 64,
    "git_commit": None,
    "seed": 7,
    "parameters": {"trees": 5},
}
PARITY: Mapping[str, Any] = {"rows": 300, "worst": 1.5e-7, "refuses_missing": ["distance"]}
Change = Callable[[onnx.ModelProto], object]


def model() -> onnx.ModelProto:
    """A regressor: the distance times two, plus the length of nothing."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value=helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])),
        helper.make_node("Mul", ["distance", "two"], ["doubled"]),
        helper.make_node("Reshape", ["doubled", "flat"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loopwright",
        [
            helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
            helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1]),
        ],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])],
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def changed(change: Change) -> bytes:
    given = model()
    change(given)
    content: bytes = given.SerializeToString()
    return content


def forge(folder: Path, content: bytes) -> Path:
    """A sealed bundle with another graph, all digests right: what somebody would make who means harm."""
    said = bundle.verify(sealed(folder))
    (folder / "model.onnx").write_bytes(content)
    entry = bundle.FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))
    resign(folder, replace(said, files={**said.files, "model.onnx": entry}))
    return folder


def resign(folder: Path, said: bundle.Manifest) -> None:
    (folder / "manifest.json").write_text(replace(said, digest=digest_of(said)).to_json(), encoding="utf-8")


def fill(folder: Path, content: bytes | None = None, schema: Schema = SCHEMA) -> Path:
    """What `export` leaves before anything is sealed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model().SerializeToString() if content is None else content)
    (folder / "schema.json").write_text(schema.to_json(), encoding="utf-8")
    return folder


def seal(folder: Path, *, lineage: Mapping[str, Any] = LINEAGE, inputs: Sequence[Column] = INPUTS) -> bundle.Manifest:
    return bundle.write(
        folder, name="delays", inputs=inputs, task="regression", classes=(), parity=PARITY, lineage=lineage
    )


def sealed(folder: Path) -> Path:
    """A bundle with every file it may have."""
    fill(folder)
    for name in [one for one in bundle.FILES if one.endswith(".json") and one not in ("schema.json", "manifest.json")]:
        (folder / name).write_text('{"a": [1, 2.5, null]}', encoding="utf-8")
    (folder / "card.html").write_text("<!doctype html>", encoding="utf-8")
    seal(folder)
    return folder
