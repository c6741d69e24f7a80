"""Runs of models that are watched: one that takes too long is stopped, and the process told of one that cannot be.

A run cannot be interrupted from the thread it is in, so one thread looks at all of them every twentieth of a second and
raises the flag that ONNX Runtime looks at between two operators. What does not heed it is stuck in one: only the end of
the process ends it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from loopwright.core.clock import Clock
from loopwright.gateway.at_work import AtWork
from loopwright.gateway.decode import Array
from loopwright.gateway.model import LoadedModel, Predicted

_logger = logging.getLogger(__name__)
_LOOK_SECONDS = 0.05
_LARGE_ROWS = 256
"""What a bigger run took of memory is given back after it."""
_FEW_ROWS = 16
"""Whose run tells of a model that hangs; more may only be too many."""
_FAIR = 3
"""Times what rows take: who is given less is no model that hangs."""
_SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")


class Hung(Exception):
    """A model was stopped, for it took longer than it may."""

    def __init__(self, model: LoadedModel, seconds: float, rows: int = 1) -> None:
        super().__init__(f"{model.version.name} was stopped after {seconds:g} seconds")
        self.model = model
        self.is_hang = rows <= _FEW_ROWS and seconds >= _FAIR * rows * model.row_seconds
        """Whether the model is to blame: not where there were many rows, or little time was left for them."""


class _Run:
    __slots__ = ("is_stopped", "is_told", "model", "options", "until")

    def __init__(self, model: LoadedModel, options: Any, until: float) -> None:
        self.model = model
        self.options = options
        self.until = until
        self.is_stopped = self.is_told = False


class Watch:
    """Call `start` before the first run. `on_stuck` is told, in the watching thread, why the process must end, and
    `at_work` which versions run."""

    def __init__(
        self,
        clock: Clock,
        *,
        recycle_seconds: float,
        on_stuck: Callable[[str], None],
        at_work: AtWork | None = None,
    ) -> None:
        self._clock = clock
        self._at_work = at_work or AtWork()
        self._recycle_seconds = recycle_seconds
        self._on_stuck = on_stuck
        self._runs: dict[int, _Run] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def run(self, model: LoadedModel, feed: Mapping[str, Array], rows: int, seconds: float) -> Predicted:
        """Predict within so many seconds. Raises `Hung`, and whatever the model raises."""
        place = self._at_work.begin(model.version.loop, model.version.number)
        try:
            return self._watched(model, feed, rows, seconds)
        finally:
            self._at_work.end(place)

    def _watched(self, model: LoadedModel, feed: Mapping[str, Array], rows: int, seconds: float) -> Predicted:
        if not model.is_stoppable:
            return model.predictor.run(feed)
        mine = threading.get_ident()
        begun = self._clock.monotonic()
        run = self._runs[mine] = _Run(model, _options(rows), begun + seconds)
        try:
            predicted: Predicted = model.predictor.run(feed, run.options)  # type: ignore[call-arg]
        except Exception:
            if run.is_stopped:
                raise Hung(model, seconds, rows) from None
            raise
        else:
            if rows > _LARGE_ROWS:
                model.pace.note(rows, self._clock.monotonic() - begun)
            return predicted
        finally:
            del self._runs[mine]

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            now = self._clock.monotonic()
            for run in list(self._runs.values()):
                if now >= run.until and not run.is_stopped:
                    run.is_stopped = run.options.terminate = True
                    _logger.error("%s takes too long and is stopped", run.model.version.name)
                elif now >= run.until + self._recycle_seconds and not run.is_told:
                    run.is_told = True
                    self._on_stuck(f"{run.model.version.name} hangs and cannot be stopped")


def _options(rows: int) -> Any:
    import onnxruntime as ort  # type: ignore[import-untyped]

    options = ort.RunOptions()
    if rows > _LARGE_ROWS:
        options.add_run_config_entry(*_SHRINK)
    return options
