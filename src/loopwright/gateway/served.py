"""What answers for a loop, as one immutable value; and what keeps a newer route from being followed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from loopwright.core.version import Arm, Route
from loopwright.gateway.model import LoadedModel, Predicted
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
HANGS = 3
"""A model that hung so often is not called any more while its route stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What answers for one loop."""

    route: Route
    models: Mapping[int, LoadedModel]
    """By version: those of this route, and those of the one before, so that the way back costs nothing."""
    hangs: Counter[int] = field(default_factory=Counter, compare=False)
    """How often each version hung at a request of its own, by whatever door it came. This alone changes."""

    @property
    def champion(self) -> LoadedModel:
        """Of the arm called so; without one, of the biggest."""
        arm = max(self.route.answering, key=lambda arm: (arm.version == self.route.champion, arm.share))
        return self.models[arm.version]

    @property
    def shadows(self) -> list[tuple[Arm, LoadedModel]]:
        """Those of the route that take the rows its first arm takes; others are not asked."""
        first = self.models[self.route.answering[0].version].typed
        there = [(arm, self.models.get(arm.version)) for arm in self.route.shadows]
        return [(arm, model) for arm, model in there if model is not None and model.typed.takes(first)]

    @property
    def has_older(self) -> bool:
        """Whether models are kept that the route does not name."""
        return not self.models.keys() <= {arm.version for arm in self.route.arms}

    def note_hang(self, model: LoadedModel) -> None:
        """It was stopped at a request that no other can have made it hang at."""
        number = model.version.number
        self.hangs[number] += 1
        if self.hangs[number] == HANGS:
            _logger.error("%s hung %d times and is not called any more", model.version.name, HANGS)

    def refuse_hanging(self, model: LoadedModel) -> None:
        """Raises `Refused` for a model that is not called any more."""
        if self.hangs[model.version.number] >= HANGS:
            what = f"{model.version.name} hung {HANGS} times and is not called any more"
            raise Refused(503, what, fix="promote another version: lw promote LOOP")

    def without_older(self) -> Served:
        named = {arm.version for arm in self.route.arms}
        return replace(self, models=MappingProxyType({n: m for n, m in self.models.items() if n in named}))

    def at_rest(self) -> Served:
        """The same to look at, without the graphs: columns, classes and digests cost next to nothing."""
        found = {number: replace(model, predictor=_of(model)) for number, model in self.without_older().models.items()}
        return replace(self, models=MappingProxyType(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a route is not followed yet."""

    route: Route
    version: int
    """The one that cannot be loaded."""
    what: str
    fix: str | None
    attempts: int
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One loop, as a person may look at it."""

    loop: str
    served: Served | None
    fault: Fault | None
    predictions: int
    """Rows answered since this process began."""
    invalid: int
    """Answers withheld since then, for they were no numbers."""
    is_resting: bool = False
    """Whether its models were let go for want of memory, and are loaded again when somebody asks."""


@dataclass(frozen=True, slots=True)
class _Resting:
    """Stands where a predictor was."""

    task: str
    classes: Sequence[Any]

    def run(self, feed: Mapping[str, Any]) -> Predicted:
        raise Refused(503, f"the model rests, asked for {len(feed)} columns", fix="ask again", retry_seconds=1.0)


def _of(model: LoadedModel) -> _Resting:
    return _Resting(model.predictor.task, model.predictor.classes)
