"""What is served: one model as a folder for the peers, and in a workspace where it is promoted for us.

Twenty mixed columns with strings and missing values, imputation, scaling, one-hot, LightGBM of 100 trees. Two versions,
so that there is something to swap with; both answer the same rows, the second by a model of other labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.peers import served
from loopwright import system
from loopwright.core.version import CHAMPION, Arm, Route, VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.registry.promote import promote
from loopwright.registry.register import register
from loopwright.transform import bundle
from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.inputs import Inputs

LOOP = "credit"
PATH = f"/v1/loops/{LOOP}/predict"
_FITTED_ROWS, _ASKED_ROWS = 20_000, 256
_DISTINCT = (2, 3, 5, 8, 12, 20, 40, 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """Where things are, and what is asked."""

    folder: Path
    """For peers: the graph, and the rows and labels it was fitted on."""
    project: Path
    rows: Sequence[Mapping[str, Any]]
    chances: Sequence[float]
    """Of the second class, by the first version."""


def make(work: Path) -> Promoted:
    folder, project = work / "served", work / "project"
    folder.mkdir()
    project.mkdir()
    frame, labels = make_rows(_FITTED_ROWS, 0)
    first = _fit(frame, labels)
    (folder / "model.onnx").write_bytes(first.graph.SerializeToString())
    (folder / "training.json").write_text(json.dumps({"rows": frame.to_dicts(), "labels": labels.tolist()}))
    with system.open(project) as opened:
        for number, fitted in enumerate((first, _fit(frame, np.roll(labels, 1) | labels)), 1):
            _register(opened, work / f"bundle-{number}", fitted)
        promote(opened.stores, LOOP, "1", opened.cause("a measurement"))
    asked, _ = make_rows(_ASKED_ROWS, 1)
    return Promoted(folder=folder, project=project, rows=asked.to_dicts(), chances=_chances(first, asked))


def change_route(project: Path, *arms: Arm) -> None:
    """Who answers from now on, without the look at the bundle that a promotion takes."""
    with system.open(project) as opened:
        routes, by = opened.stores.routes, opened.cause("a measurement")
        before = routes.current(LOOP)
        route = Route(loop=LOOP, arms=arms, at=by.at, actor=by.actor)
        routes.change(route, {CHAMPION: arms[0].version}, by, before.number if before else None)


def champion(version: int) -> Arm:
    return Arm(name=CHAMPION, version=version, share=1.0)


def make_rows(count: int, seed: int) -> tuple[pl.DataFrame, Any]:
    """Numbers of three decimals, so that all read them alike; a twentieth of everything is missing."""
    draw = np.random.default_rng(seed)

    def holed(values: Any) -> pl.Series:
        return pl.Series(values).set(pl.Series(draw.random(count) < 0.05), None)

    columns = {name: holed(draw.normal(size=count).round(3) * 10 ** (i % 3)) for i, name in enumerate(served.NUMBERS)}
    for name, distinct in zip(served.TEXTS, _DISTINCT, strict=True):
        columns[name] = holed(np.array([f"{name}-{i}" for i in range(distinct)])[draw.integers(0, distinct, count)])
    frame = pl.DataFrame(columns)
    known = sum(frame[name].fill_null(0).to_numpy() / 10 ** (i % 3) for i, name in enumerate(served.NUMBERS[:6]))
    known = known + (frame["text_4"].fill_null("").str.ends_with("3").to_numpy() * 2)
    return frame, (known + draw.normal(size=count) > 0.5)


def by_hand(graph: bytes) -> Any:
    """A session of one thread."""
    import onnxruntime as ort  # type: ignore[import-untyped]

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _fit(frame: pl.DataFrame, labels: Any) -> Exported:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = served.pipeline().fit(Inputs.of(frame).frame(frame), labels)
        return export(model, frame, labels)


def _register(opened: system.System, folder: Path, fitted: Exported) -> None:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(fitted.graph.SerializeToString())
    columns = [Column(name=name, kind="float", missing=True) for name in served.NUMBERS]
    columns += [Column(name=name, kind="string", missing=True) for name in served.TEXTS]
    (folder / "schema.json").write_text(Schema(columns=tuple(columns), key=("customer",)).to_json())
    manifest = bundle.write(
        folder, name=LOOP, inputs=fitted.inputs.columns, task=fitted.task, classes=fitted.classes,
        parity={"rows": 0}, lineage={"run": "bench", "seed": 0},
    )  # fmt: skip
    register(
        opened.stores, folder, manifest, opened.cause("a measurement"), status=VersionStatus.ACCEPTED,
        run_id="bench", metric="roc_auc", value=0.9, reason="a measurement",
    )  # fmt: skip


def _chances(fitted: Exported, rows: pl.DataFrame) -> list[float]:
    session = by_hand(fitted.graph.SerializeToString())
    found: list[float] = session.run(["probabilities"], fitted.inputs.feed(rows))[0][:, 1].tolist()
    return found
