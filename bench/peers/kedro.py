"""Kedro as a library: its sequential runner and an in-memory catalog. Records nothing."""
# Kedro is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from bench.peers.chain import Chain, time_chains


def add_one(value: int) -> int:
    return value + 1


def run(asked: Chain) -> int:
    nodes = [node(add_one, f"value_{i}", f"value_{i + 1}", name=f"step_{i}") for i in range(asked.count)]
    catalog = DataCatalog({"value_0": MemoryDataset(0), f"value_{asked.count}": MemoryDataset()})
    SequentialRunner().run(pipeline(nodes), catalog)
    return catalog.load(f"value_{asked.count}")


if __name__ == "__main__":
    time_chains(run)
