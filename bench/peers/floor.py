"""The floor: about the least that can be called a runner. Records each step durably and reuses what it recorded.

No processes, no leases, no lineage, no artifacts, no environment: what any of that costs is what ours costs above this.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import time

from bench.peers.chain import Chain, time_chains

Step = Callable[[int], int]

_TABLE = """CREATE TABLE IF NOT EXISTS executions (
    chain INTEGER, step TEXT, key TEXT, status TEXT, output TEXT, started_at REAL, finished_at REAL,
    PRIMARY KEY (chain, step)
); CREATE INDEX IF NOT EXISTS by_key ON executions (key)"""


def add_one(value: int) -> int:
    return value + 1


class Runner:
    """Runs steps one after the other; the output of one is the input of the next."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        self._connection.executescript(_TABLE)

    def run(self, chain: int, steps: dict[str, Step]) -> int:
        value = 0
        for name, step in steps.items():
            value = self._step(chain, name, step, value)
        return value

    def _step(self, chain: int, name: str, step: Step, value: int) -> int:
        key = hashlib.sha256(step.__code__.co_code + f"{chain} {name} {value}".encode()).hexdigest()
        found = self._connection.execute("SELECT output FROM executions WHERE key = ? AND status = 'ran'", [key])
        if (row := found.fetchone()) is not None:
            return int(json.loads(row[0]))
        # Autocommit: each statement is a transaction of its own, flushed to the disk before it returns.
        started = "INSERT OR REPLACE INTO executions VALUES (?, ?, ?, 'running', NULL, ?, NULL)"
        self._connection.execute(started, [chain, name, key, time()])
        output = step(value)
        ended = "UPDATE executions SET status = 'ran', output = ?, finished_at = ? WHERE chain = ? AND step = ?"
        self._connection.execute(ended, [json.dumps(output), time(), chain, name])
        return output


def run(asked: Chain) -> int:
    return Runner(asked.folder / "floor.db").run(asked.number, {f"step_{i}": add_one for i in range(asked.count)})


if __name__ == "__main__":
    time_chains(run)
