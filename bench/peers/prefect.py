"""Prefect: a flow of tasks against the server that it starts itself, on loopback, and stops at the end.

A flow returns before its tasks are recorded, and the next flow pays for the rest: here a chain has ended when every
step is in Prefect's database, as it is with everybody else.
"""
# Prefect is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import os
import sqlite3
from pathlib import Path
from time import perf_counter, sleep

from prefect import flow, task

from bench.peers.chain import Chain, time_chains

_RECORDED = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
_LONGEST_SECONDS = 60


@task
def add_one(value: int) -> int:
    return value + 1


@flow
def chain(count: int) -> int:
    value = 0
    for number in range(count):
        value = add_one.with_options(name=f"step_{number}")(value)
    return value


def recorded() -> int:
    database = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    if not database.exists():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        (found,) = connection.execute(_RECORDED).fetchone()
    except sqlite3.OperationalError:  # the server has yet to make its tables
        return 0
    finally:
        connection.close()
    return found


def run(asked: Chain) -> int:
    wanted, give_up_at = recorded() + asked.count, perf_counter() + _LONGEST_SECONDS
    value = chain(asked.count)
    while recorded() < wanted:
        assert perf_counter() < give_up_at, f"{recorded()} of {wanted} steps were recorded"
        sleep(0.02)
    return value


if __name__ == "__main__":
    time_chains(run)
