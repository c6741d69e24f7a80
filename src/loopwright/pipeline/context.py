"""What a running step may ask of its run: a parameter annotated `Context` receives it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from loopwright.core.clock import Clock
from loopwright.core.stores import Stores
from loopwright.pipeline.executor import Executor

if TYPE_CHECKING:
    from loopwright.data.tables import Tables

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Given to a step that has a parameter of this type; part of no key but for the seed."""

    run_id: str
    step: str
    seed: int
    """The step's own: derived from the run's seed and the step's name. 0 to 2**32 - 1."""
    folder: Path
    """An empty folder for the step's files; gone when the step has ended."""
    executor: Executor
    clock: Clock
    actor: str
    """Who asked for the run: `user@host`."""
    deployment: int | None = None
    """Whose code this is; None for a working tree's. It decides nothing: no result may depend on it."""
    stores: Stores
    """The workspace's memory. What a step reads there is part of no key: a step that reads it is `cache=False`."""
    open_tables: Callable[[], Tables]
    workspace: Path | None = None
    """The folder of the workspace; None where a runner was given none. The same holds."""

    @property
    def tables(self) -> Tables:
        """The workspace's tables. The same holds: read a pinned `TableVersion`, or be `cache=False`."""
        return self.open_tables()

    def map(self, function: Callable[[T], V], fragments: Iterable[T]) -> list[V]:
        """Apply a module-level function to each fragment in processes side by side; results in order.

        Raises FragmentFailed, naming the fragment.
        """
        return self.executor.map(function, fragments)


def step_seed(seed: int, step: str) -> int:
    """A seed of its own for each step, the same in every run with the same seed.

    >>> step_seed(7, "train")
    3584589562
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:4], "big")
