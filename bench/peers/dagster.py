"""Dagster, with a persistent instance (SQLite) and all steps in this process: its quickest way.

`dagster job execute` with the default executor starts a process for each step and takes many times as long.
"""
# Dagster is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import logging

from dagster import DagsterInstance, job, op

from bench.peers.chain import Chain, time_chains

logging.disable(logging.INFO)


def step(number: int):
    if number == 0:

        @op(name="step_0")
        def first() -> int:
            return 1

        return first

    @op(name=f"step_{number}")
    def add_one(value: int) -> int:
        return value + 1

    return add_one


def run(asked: Chain) -> int:
    @job(name=f"chain_{asked.number}")
    def chain():
        value = step(0)()
        for i in range(1, asked.count):
            value = step(i)(value)

    with DagsterInstance.get() as instance:
        result = chain.execute_in_process(instance=instance)
    return result.output_for_node(f"step_{asked.count - 1}")


if __name__ == "__main__":
    time_chains(run)
