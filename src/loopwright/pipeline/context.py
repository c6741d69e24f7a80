"""What a running step may ask of its run: a parameter annotated `Context` receives it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loopwright.pipeline.executor import Executor

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
