"""Real bundles, as small as they come: one column in, a number times a weight out."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from loopwright.core.artifact import Artifact, Kind
from loopwright.core.event import Cause
from loopwright.core.run import Execution, ExecutionStatus, Lease, Run, RunStatus
from loopwright.core.stores import Stores
from loopwright.core.version import Version, VersionStatus
from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.judge.evaluation import Evaluation, Measured, Slice
from loopwright.judge.verdict import GateOutcome, GateResult, Verdict
from loopwright.registry.register import register
from loopwright.testing.conformance import at, cause
from loopwright.transform import bundle
from loopwright.transform.columns import Column
from loopwright.transform.columns import Kind as ColumnKind
from loopwright.transform.manifest import Manifest


def a_graph(weight: float = 1.0) -> bytes:
    import numpy as np

    weights = numpy_helper.from_array(np.array([[weight]], dtype=np.float32), "weight")
    shape = numpy_helper.from_array(np.array([-1], dtype=np.int64), "shape")
    nodes = [
        helper.make_node("Mul", ["x", "weight"], ["product"]),
        helper.make_node("Reshape", ["product", "shape"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])],
        [weights, shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def an_evaluation(value: float = 0.71, *, rows: int = 900, slices: Mapping[str, float] | None = None) -> Evaluation:
    def measured(found: float) -> Measured:
        return Measured(metric="r2", value=found, low=found - 0.01, high=found + 0.01)

    return Evaluation(
        task="regression",
        rows=rows,
        positives=None,
        is_weighted=False,
        level=0.95,
        draws=200,
        seed=0,
        least_rows=50,
        metrics=(measured(value),),
        slices=tuple(
            Slice(columns=("carrier",), values=(name,), rows=100, positives=None, is_enough=True,
                  metrics=(measured(found),))
            for name, found in (slices or {}).items()
        ),
    )  # fmt: skip


def a_verdict(*, accepted: bool = True, value: float = 0.71) -> Verdict:
    outcome = GateOutcome.PASSED if accepted else GateOutcome.FAILED
    gate = GateResult(
        gate='at_least("r2", 0.7)', metric="r2", outcome=outcome, reason=f"r2 is {value} on 900 rows", number=value,
        limit=0.7, low=value - 0.01, high=value + 0.01, rows=900,
    )  # fmt: skip
    return Verdict(accepted=accepted, reason=f"{int(accepted)} of 1 gates passed", gates=(gate,), rows=900, level=0.95)


def a_bundle(
    folder: Path,
    weight: float = 1.0,
    *,
    loop: str = "flights",
    verdict: Verdict | None = None,
    evaluation: Evaluation | None = None,
    lineage: Mapping[str, Any] | None = None,
    beside: Mapping[str, str] | None = None,
) -> Manifest:
    """Sealed, in a new folder, with other files `beside` by name."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(a_graph(weight))
    schema = Schema(columns=(SchemaColumn(name="x", kind="float", missing=True),), key=("flight_id",))
    (folder / "schema.json").write_text(schema.to_json())
    for name, content in (beside or {}).items():
        (folder / name).write_text(content)
    if verdict is not None:
        (folder / "verdict.json").write_text(verdict.to_json())
    if evaluation is not None:
        (folder / "evaluation.json").write_text(evaluation.to_json())
    return bundle.write(
        folder,
        name=loop,
        inputs=[Column(name="x", kind=ColumnKind.NUMBER)],
        task="regression",
        classes=[],
        parity={"rows": 100, "largest_difference": 1e-7},
        lineage={"run": "run-1", "seed": 7, "parameters": {"depth": 3}} | dict(lineage or {}),
    )


@dataclass
class Works:
    """Makes one version after the other, as runs of a loop do."""

    stores: Stores
    folder: Path
    made: int = 0

    def version(
        self,
        *,
        loop: str = "flights",
        accepted: bool = True,
        source: str = "x = 1\n",
        packages: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        value: float = 0.71,
        slices: Mapping[str, float] | None = None,
        because: str = "lw run",
        lineage: Mapping[str, Any] | None = None,
        beside: Mapping[str, str] | None = None,
    ) -> Version:
        """A version of its own weight, made by a run of its own."""
        self.made += 1
        run = f"run-{self.made}"
        lease = self._run(run, source, packages or {"numpy": "2.2.0"})
        verdict = a_verdict(accepted=accepted, value=value)
        told: dict[str, Any] = {
            "run": run,
            "code": lease.code,
            "environment": lease.environment,
            "git_commit": lease.git_commit,
            "git_diff": lease.git_diff,
        }
        told |= {
            "parameters": dict(parameters or {"depth": 3}),
            "data": dict(data or {"table": "flights", "version": 3}),
        }
        folder = self.folder / f"bundle-{self.made}"
        manifest = a_bundle(
            folder, float(self.made), loop=loop, verdict=verdict, evaluation=an_evaluation(value, slices=slices),
            lineage=told | dict(lineage or {}), beside=beside,
        )  # fmt: skip
        return register(
            self.stores, folder, manifest, self.cause(because),
            status=VersionStatus.ACCEPTED if accepted else VersionStatus.REJECTED,
            run_id=run, metric="r2", value=value, reason=verdict.reason,
        )  # fmt: skip

    def cause(self, reason: str = "") -> Cause:
        return cause(self.made, reason)

    def _run(self, name: str, source: str, packages: Mapping[str, str]) -> Lease:
        """Of two steps, one of which was reused."""
        made = at(self.made)
        asked = Run(id=name, pipeline="flights", file="/work/flights.py", parameters={}, seed=7, request_key=name,
                    status=RunStatus.RUNNING, created_at=made)  # fmt: skip
        self.stores.runs.request(asked, self.cause())
        environment = json.dumps({"python": "3.11.2", "packages": dict(packages)}).encode()
        kept = [self._keep("code", _zipped({"flights.py": source}), name), self._keep("environment", environment, name)]
        kept.append(self._keep("diff", b"+ a line", name))
        lease = Lease(run_id=name, token=0, holder="worker-1", acquired_at=made, expires_at=at(self.made + 5),
                      code=kept[0].digest, environment=kept[1].digest, git_commit="c0ffee" * 6,
                      git_diff=kept[2].digest)  # fmt: skip
        lease = self.stores.runs.acquire(lease, self.cause(), kept, is_alive=lambda _: False)
        steps = [
            Execution(run_id=name, step="train", position=0, status=ExecutionStatus.RAN, token=lease.token),
            Execution(run_id=name, step="judge", position=1, status=ExecutionStatus.RAN, token=lease.token),
        ]
        self.stores.executions.save(lease, steps, self.cause())
        self.stores.runs.finish(lease, RunStatus.SUCCEEDED, self.cause())
        return lease

    def _keep(self, kind: Kind, content: bytes, run: str) -> Artifact:
        blob = self.stores.blobs.put(content)
        return Artifact(digest=blob.digest, kind=kind, format="bytes", size_bytes=blob.size_bytes,
                        created_at=at(self.made), run_id=run)  # fmt: skip


def _zipped(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, source in files.items():
            archive.writestr(zipfile.ZipInfo(name), source)
    return content.getvalue()
