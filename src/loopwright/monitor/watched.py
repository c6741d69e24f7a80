"""What is known of a loop that is watched: its declaration, and of each version what its bundle says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loopwright.core.deployment import Deployment
from loopwright.core.plain import plain, restored
from loopwright.core.stores import Stores
from loopwright.core.version import Route, Version
from loopwright.data.profile import Profile
from loopwright.data.schema import Schema
from loopwright.data.statistics import Statistics
from loopwright.errors import DataError, LoopwrightError
from loopwright.judge.catalog import METRICS, Task, metrics_of
from loopwright.judge.evaluation import Evaluation, Measured
from loopwright.monitor.declare import Monitor
from loopwright.predictions import window as inputs
from loopwright.registry.evidence import evaluation_of
from loopwright.transform.predictor import class_text

_logger = logging.getLogger(__name__)
_MOST_KEPT = 64
_FIRST = {Task.BINARY: "roc_auc", Task.MULTICLASS: "accuracy", Task.REGRESSION: "mae"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A version, as its answers are looked at. What its bundle does not say is None."""

    version: Version
    task: Task
    classes: tuple[str, ...] = ()
    """As the prediction log writes them."""
    contract: Schema
    training: Profile | None = None
    """Of the rows it was trained on: features and label."""
    judged: Evaluation | None = None

    @property
    def number(self) -> int:
        return self.version.number

    def judged_as(self, metric: str) -> Measured | None:
        return None if self.judged is None else self.judged.metric(metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A loop, its route, and how it is to be watched: as its deployment says, or as usual."""

    loop: str
    route: Route
    monitor: Monitor = field(default_factory=Monitor)
    metric: str | None = None
    """The judge's; None for the usual one of the task."""
    slices: tuple[tuple[str, ...], ...] = ()
    least_rows: int = 200

    @classmethod
    def of(cls, route: Route, deployment: Deployment | None) -> Watched:
        spec: Mapping[str, Any] = deployment.spec if deployment else {}
        monitor, judge = declared(spec), spec.get("judge") or {}
        slices = monitor.slices
        if slices is None:
            slices = tuple(tuple(columns) for columns in judge.get("slices") or ())
        return cls(
            loop=route.loop,
            route=route,
            monitor=monitor,
            metric=judge.get("metric"),
            slices=slices,
            least_rows=judge.get("least_rows") or 200,
        )

    def metric_of(self, known: Known) -> str:
        """What its quality is told by first."""
        wanted = self.metric or known.version.metric
        return wanted if wanted in METRICS and wanted in metrics_of(known.task) else _FIRST[known.task]


def declared(spec: Mapping[str, Any]) -> Monitor:
    """Of a deployment. What an older one did not know yet is as usual. Raises `DataError` for what is none."""
    given = spec.get("monitor") or {}
    usual: dict[str, Any] = plain(Monitor())
    return restored(Monitor, usual | {name: value for name, value in given.items() if name in usual})


class Bundles:
    """What versions' bundles say, kept for as long as this lives."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._kept: dict[tuple[str, int], Known | None] = {}

    def of(self, loop: str, number: int) -> Known | None:
        """None for a version that is gone, or whose contract cannot be read: its answers are counted, and no more."""
        if (loop, number) not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[loop, number] = self._read(loop, number)
        return self._kept[loop, number]

    def _read(self, loop: str, number: int) -> Known | None:
        try:
            version = self._stores.versions.get(loop, str(number))
            contract = self._file(version, "schema.json", Schema.from_json)
        except LoopwrightError as error:
            _logger.warning("the answers of %s v%d are only counted: %s", loop, number, error.what)
            return None
        if contract is None:
            return None
        statistics = self._maybe(version, "statistics.json", Statistics.from_json)
        manifest = self._maybe(version, "manifest.json", json.loads) or {}
        return Known(
            version=version,
            task=Task(version.task),
            classes=tuple(class_text(one) for one in (manifest.get("outputs") or {}).get("classes") or ()),
            contract=inputs.seen(contract),
            training=None if statistics is None else statistics.profile(),
            judged=self._judged(version),
        )

    def _judged(self, version: Version) -> Evaluation | None:
        try:
            return evaluation_of(self._stores, version)
        except DataError:
            return None

    def _maybe(self, version: Version, name: str, read: Callable[[str], Any]) -> Any:
        try:
            return self._file(version, name, read)
        except LoopwrightError as error:
            _logger.warning("%s of %s cannot be read: %s", name, version.name, error.what)
            return None

    def _file(self, version: Version, name: str, read: Callable[[str], Any]) -> Any:
        if name not in version.files:
            return None
        return read(self._stores.blobs.read(version.files[name]).decode())


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
