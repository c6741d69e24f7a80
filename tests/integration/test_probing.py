"""Bundles are tried in a process of their own first: hostile graphs end that process, and nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.bundles import Works, a_graph
from tests.unit.serving import a_model

from loopwright.core.clock import SystemClock
from loopwright.core.version import Version
from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.errors import BundleRefused
from loopwright.gateway import model
from loopwright.registry.fetch import clean, fetched
from loopwright.serve.probing import Bounds, Probing
from loopwright.testing import HandClock, memory_stores
from loopwright.testing.conformance import at
from loopwright.transform import bundle
from loopwright.transform.columns import Column, Kind

BOUNDS = Bounds(memory_bytes=1 << 30, cpu_seconds=20, seconds=3.0)


def constant(name: str, value: Any, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(value, dtype=dtype), name)


def a_graph_of(nodes: Sequence[Any], constants: Sequence[Any]) -> bytes:
    """From `x` to `found`, a float of any shape, of which there is one a row."""
    end = [helper.make_node("Reshape", ["found", "flat"], ["value"])]
    graph = helper.make_graph(
        [*nodes, *end],
        "flights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])],
        [*constants, constant("flat", [-1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def crashing() -> bytes:
    """Divides the least whole number by minus one, which no processor can say."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Sub", ["whole", "whole"], ["nought"]),
        helper.make_node("Add", ["nought", "least"], ["first"]),
        helper.make_node("Div", ["first", "minus"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["found"], to=TensorProto.FLOAT),
    ]
    return a_graph_of(nodes, [constant("least", [-(2**63)]), constant("minus", [-1])])


def hanging() -> bytes:
    """Goes round and round."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Add", ["now", "now"], ["then"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("now", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("then", TensorProto.FLOAT, [None, 1]),
        ],
    )
    nodes = [helper.make_node("Loop", ["turns", "always", "x"], ["found"], body=body)]
    return a_graph_of(nodes, [constant("turns", 1 << 62), constant("always", True, np.bool_)])


def greedy() -> bytes:
    """Wants sixteen gigabytes for a row."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "times"], ["much"]),
        helper.make_node("Expand", ["x", "much"], ["wide"]),
        helper.make_node("ReduceSum", ["wide", "axis"], ["found"], keepdims=1),
    ]
    return a_graph_of(nodes, [constant("times", [1, 1 << 32]), constant("axis", [1])])


def sealed(folder: Path, graph: bytes) -> Version:
    """A bundle of that graph, sealed by who knows how to, and the version that it would be."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    schema = Schema(columns=(SchemaColumn(name="x", kind="float", missing=True, low=1.0, high=9.0),))
    (folder / "schema.json").write_text(schema.to_json())
    manifest = bundle.write(
        folder, name="flights", inputs=[Column(name="x", kind=Kind.NUMBER)], task="regression", classes=[],
        parity={"rows": 100}, lineage={"run": "run-1"},
    )  # fmt: skip
    return replace(a_model(1).version, digest=manifest.digest)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Probing]:
    made = Probing(tmp_path / "probes", SystemClock(), BOUNDS)
    yield made
    made.stop()


def test_a_sound_bundle_tells_what_it_takes_and_is_tried_once(tmp_path: Path, trial: Probing) -> None:
    version = sealed(tmp_path / "bundle", a_graph())
    found = trial(tmp_path / "bundle", version)
    assert 0 < found < 200 << 20
    trial.stop()
    begun = time.monotonic()
    other = Probing(tmp_path / "probes", SystemClock(), BOUNDS)  # as another process of this machine
    assert other(tmp_path / "bundle", version) == found
    assert time.monotonic() - begun < 0.05  # no process was started


@pytest.mark.parametrize(
    ("graph", "told"),
    [(crashing(), "crashed when it was tried: SIGFPE"), (hanging(), "hung when it was tried"),
     (greedy(), "took too much memory when it was tried")],
    ids=["crashing", "hanging", "greedy"],
)  # fmt: skip
def test_a_hostile_graph_is_refused_and_takes_nothing_with_it(
    tmp_path: Path, trial: Probing, graph: bytes, told: str
) -> None:
    version = sealed(tmp_path / "hostile", graph)
    good = sealed(tmp_path / "good", a_graph(3.0))
    answers: list[int] = []
    beside = threading.Thread(target=lambda: answers.append(trial(tmp_path / "good", good)))
    beside.start()
    with pytest.raises(BundleRefused) as refused:
        trial(tmp_path / "hostile", version)
    beside.join()
    assert refused.value.what == f"flights v1 {told}"
    assert len(answers) == 1  # the other one was not kept from it


def test_one_that_takes_the_processor_for_too_long_is_ended(tmp_path: Path) -> None:
    trial = Probing(tmp_path / "probes", SystemClock(), replace(BOUNDS, cpu_seconds=1, seconds=20.0))
    version = sealed(tmp_path / "hostile", hanging())
    with pytest.raises(BundleRefused, match="too much of the processor"):
        trial(tmp_path / "hostile", version)
    trial.stop()


def test_what_was_refused_is_refused_again_at_once_and_tried_again_after_a_while(tmp_path: Path) -> None:
    clock = HandClock()
    trial = Probing(tmp_path / "probes", clock, BOUNDS)
    version = sealed(tmp_path / "hostile", crashing())
    for _ in range(2):
        with pytest.raises(BundleRefused, match="SIGFPE"):
            trial(tmp_path / "hostile", version)
    (kept,) = (tmp_path / "probes").iterdir()
    first = kept.read_bytes()
    clock.advance(timedelta(minutes=6).total_seconds())
    with pytest.raises(BundleRefused, match="SIGFPE"):
        trial(tmp_path / "hostile", version)
    assert kept.read_bytes() != first
    trial.stop()


def test_a_process_that_is_killed_meanwhile_is_started_again(tmp_path: Path, trial: Probing) -> None:
    trial(tmp_path / "one", sealed(tmp_path / "one", a_graph(1.0)))
    assert trial._process is not None
    os.kill(trial._process._process.pid, 9)
    assert trial(tmp_path / "two", sealed(tmp_path / "two", a_graph(2.0)))


def test_another_bundle_than_the_version_s_is_refused(tmp_path: Path, trial: Probing) -> None:
    version = sealed(tmp_path / "bundle", a_graph())
    with pytest.raises(BundleRefused, match="digest"):
        trial(tmp_path / "bundle", replace(version, digest="0" * 64))


def test_a_version_is_fetched_tried_and_opened(tmp_path: Path, trial: Probing) -> None:
    stores = memory_stores()
    version = Works(stores, tmp_path / "made").version()
    loaded = model.load(stores, tmp_path / "bundles", "flights", version.number, trial)
    assert (loaded.version.digest, loaded.memory_bytes > 0, loaded.row_seconds > 0) == (version.digest, True, True)


def test_a_bit_flipped_at_a_thousand_places_is_refused_or_mended_every_time(tmp_path: Path) -> None:
    stores = memory_stores()
    version = Works(stores, tmp_path / "made").version()
    folder = tmp_path / "bundles" / version.digest
    sound = fetched(stores, version, tmp_path / "bundles")
    contents = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    chance = np.random.default_rng(0)
    sizes = np.array([len(content) for content in contents.values()])
    for number in range(1000):
        name = list(contents)[chance.choice(len(sizes), p=sizes / sizes.sum())]
        broken = bytearray(contents[name])
        broken[chance.integers(len(broken))] ^= 1 << chance.integers(8)
        (folder / name).write_bytes(broken)
        with pytest.raises(BundleRefused):
            bundle.read(folder)
        if number % 100 == 0:
            assert fetched(stores, version, tmp_path / "bundles").files == sound.files
        (folder / name).write_bytes(contents[name])


def test_bundles_that_no_route_names_go_but_for_the_newest_few(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}").mkdir()
        os.utime(tmp_path / f"{number}", (at(number).timestamp(),) * 2)
    (tmp_path / ".fetching-1").mkdir()
    os.utime(tmp_path / ".fetching-1", (at(0).timestamp(),) * 2)
    now = at(0) + timedelta(days=2)
    assert clean(tmp_path, {"0", "7"}, now) == [".fetching-1", "1", "2", "3"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0", "4", "5", "6", "7"]
    assert clean(tmp_path / "none", set(), now) == []
