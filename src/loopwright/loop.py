"""`Loop`: one model's whole life in one value. What can be wrong without data is refused where it is declared.

A loop is a pipeline of the standard steps (`steps.py`), bound to what is declared here. Nothing heavy may be imported
before a loop is made into its pipeline.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopwright.core.plain import plain
from loopwright.data.declare import Validate
from loopwright.data.table import Table, check_table_name
from loopwright.errors import DeclarationError, did_you_mean
from loopwright.judge.declare import Judge
from loopwright.monitor.declare import Monitor
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.step import Step
from loopwright.retrain.triggers import Retrain, Trigger, time_wanted_by, to_spec
from loopwright.rollout.plan import Plan
from loopwright.train.parameters import parameters_of, takes_any
from loopwright.train.search import Search
from loopwright.train.split import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Where the data is, how to train, what a model must prove, how it is released, and what makes it learn again.

    `train(data, **parameters)` gets a `TrainingData` and returns a fitted model; its parameters have defaults, which
    `search` may try others for. `source` is where new rows come from, a file, glob, frame, `Query`, or a function of
    no arguments that gives one: they are appended before every run, and now and then once the loop is deployed, the
    same rows once. `weight` names a column of row weights. `trust` names columns that may decide the label alone, which
    would otherwise stop the run as a leak.
    `validate` says what the rows must be like, and whether those that are not stop the run or are set aside.
    Once the loop is deployed, `release` says how a version comes to answer, `monitor` how it is watched, and `retrain`,
    a list of triggers or a `Retrain`, what makes the loop learn again.
    `steps` replace the standard step of the same name, or are added.

    Raises `DeclarationError` for whatever does not fit together.

    >>> def train(data, depth: int = 3): ...
    >>> Loop(name="late", table=Table("flights", label="late", time="at"), train=train, search=Search(deepth=(2, 9)),
    ...     judge=Judge("roc_auc"))
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: search= names the parameter 'deepth', which train() does not have
      where: Loop('late')
      to do: did you mean 'depth'?
    """

    name: str
    table: Table
    train: Callable[..., Any]
    judge: Judge
    search: Search | None = None
    split: Split = field(default_factory=Split)
    source: Any = None
    weight: str | None = None
    trust: Sequence[str] = ()
    validate: Validate = field(default_factory=Validate)
    release: Plan | None = None
    retrain: Sequence[Trigger] | Retrain = ()
    monitor: Monitor = field(default_factory=Monitor)
    steps: Sequence[Step[..., Any]] = ()

    def __post_init__(self) -> None:
        _has_a_name(self)
        lists = ("trust", "steps") if isinstance(self.retrain, Retrain) else ("trust", "retrain", "steps")
        for name in lists:
            object.__setattr__(self, name, _listed(self, name))
        for check in _CHECKS:
            check(self)

    def as_pipeline(self) -> Pipeline:
        """The standard steps with the loop's own in their places, bound to what it declares: what `lw run` runs.

        Raises `DeclarationError` where they do not fit together.
        """
        from loopwright.steps import STANDARD

        own = {step.name: step for step in self.steps}
        steps = [*(own.pop(step.name, step) for step in STANDARD), *own.values()]
        used = {entry.name for step in steps for entry in step.inputs}
        declared = {name: value for name, value in (_declared(self) | SETTABLE).items() if name in used}
        return Pipeline(steps, name=self.name, parameters=declared, fixed=frozenset(_declared(self)))

    def spec(self) -> dict[str, Any]:
        """What the loop declares, as plain values that JSON holds: what may be known of it without running its code.

        >>> def train(data): ...
        >>> table = Table("flights", key="id", time="at", label="late")
        >>> Loop(name="late", table=table, train=train, judge=Judge("roc_auc", slices=["carrier"])).spec()["judge"]
        {'metric': 'roc_auc', 'slices': [['carrier']], 'least_rows': 200}
        """
        plan = None if self.release is None else {"plan": type(self.release).__name__, "fields": plain(self.release)}
        return {
            "loop": self.name,
            "table": plain(self.table),
            "weight": self.weight,
            "judge": {name: plain(getattr(self.judge, name)) for name in ("metric", "slices", "least_rows")},
            "release": plan,
            "retrain": to_spec(self.retrain),
            "has_source": self.source is not None and all(step.name != "ingest" for step in self.steps),
            "monitor": plain(self.monitor),
        }


SETTABLE: dict[str, Any] = {"since": None, "until": None, "parameters": {}, "start": "scratch"}
"""What a run may give, `lw run loop.py -p until=2013-04-01`: a span of the table, parameters of `train`, and what it
starts from: `scratch`, the champion's `parameters` (nothing is searched), or the champion itself, `fine_tune`."""


def _declared(loop: Loop) -> dict[str, Any]:
    """By the names that the steps know them by: those of the steps themselves are taken."""
    return {
        "loop": loop.name,
        "table": loop.table,
        "source": loop.source,
        "weight": loop.weight,
        "trust": loop.trust,
        "validating": loop.validate,
        "schema": None if loop.validate.schema is None else Path(loop.validate.schema),
        "span": loop.validate.span,
        "splitting": loop.split,
        "training": loop.train,
        "searching": loop.search,
        "judging": loop.judge,
        "slices": loop.judge.slices,
        "least_rows": loop.judge.least_rows,
        "metric": loop.judge.metric,
    }


def _where(loop: Loop) -> str:
    return f"Loop({loop.name!r})"


def _listed(loop: Loop, name: str) -> tuple[Any, ...]:
    given = getattr(loop, name)
    if not isinstance(given, list | tuple):
        raise DeclarationError(f"{name}={given!r} is no list", where=_where(loop), fix=f"write {name}=[...]")
    return tuple(given)


def _has_a_name(loop: Loop) -> None:
    """One that can be a folder and part of a URL: as a table's."""
    try:
        check_table_name(loop.name)
    except DeclarationError as error:
        fix = (error.fix or "").replace("flights", "late-arrivals")
        raise DeclarationError(f"{loop.name!r} is no name for a loop", where=_where(loop), fix=fix) from None


def _has_parts_of_the_right_kind(loop: Loop) -> None:
    kinds: dict[str, tuple[Any, str]] = {
        "table": (Table, 'lw.Table("flights", label="late")'),
        "judge": (Judge, 'lw.Judge("roc_auc")'),
        "search": (Search | None, "lw.Search(trials=20, depth=(3, 10))"),
        "split": (Split, 'lw.Split("time")'),
        "validate": (Validate, 'lw.Validate(schema="schema.toml")'),
        "release": (Plan | None, 'lw.Canary(shadow="1d", shares=[0.1, 1.0])'),
        "monitor": (Monitor, 'lw.Monitor(window="1d", labels_within="7d")'),
        "weight": (str | None, '"a_column"'),
    }
    for name, (kind, right) in kinds.items():
        value = getattr(loop, name)
        if not isinstance(value, kind):
            raise DeclarationError(
                f"{name}={value!r} is a {type(value).__name__}", where=_where(loop), fix=f"write {name}={right}"
            )
    _each_is(loop, "trust", str, '["a_column"]')
    if not isinstance(loop.retrain, Retrain):
        _each_is(loop, "retrain", Trigger, '[lw.on_new_data("30d")]')
    _each_is(loop, "steps", Step, "[validate], a function under @lw.step")


def _each_is(loop: Loop, name: str, kind: Any, right: str) -> None:
    for one in getattr(loop, name):
        if not isinstance(one, kind):
            raise DeclarationError(f"{name}= holds {one!r}", where=_where(loop), fix=f"write {name}={right}")


def _has_a_label(loop: Loop) -> None:
    if loop.table.label is None:
        raise DeclarationError(
            f"the table {loop.table.name!r} names no label, so there is nothing to learn",
            where=_where(loop),
            fix=f'write lw.Table("{loop.table.name}", label="a_column")',
        )


def _has_the_time_it_splits_by(loop: Loop) -> None:
    if loop.split.by == "time" and loop.table.time is None:
        raise DeclarationError(
            f"rows are held out by time, and the table {loop.table.name!r} names none",
            where=_where(loop),
            fix=f'write lw.Table("{loop.table.name}", time="a_column"), or split=lw.Split("random")',
        )


def _has_the_time_it_learns_again_by(loop: Loop) -> None:
    wanted = time_wanted_by(loop.retrain)
    if wanted and loop.table.time is None:
        raise DeclarationError(
            f"{wanted} goes by the time of the rows, and the table {loop.table.name!r} names none",
            where=_where(loop),
            fix=f'write lw.Table("{loop.table.name}", time="a_column"), or retrain=[lw.every("7d")]',
        )


def _has_a_function_that_trains(loop: Loop) -> None:
    right = "def train(data: lw.TrainingData, depth: int = 3): ..."
    if not inspect.isfunction(loop.train) or loop.train.__name__ == "<lambda>":
        raise DeclarationError(
            f"train={loop.train!r} is no function written with def", where=_where(loop), fix=f"write {right}"
        )
    parameters = list(inspect.signature(loop.train).parameters.values())
    if not parameters:
        raise DeclarationError("train() takes no data", where=_where(loop), fix=f"write {right}")
    for parameter in parameters[1:]:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.default is parameter.empty:
            raise DeclarationError(
                f"the parameter {parameter.name!r} of train() has no default",
                where=_where(loop),
                fix=f"give it one: a run without a search uses it. Write {right}",
            )


def _searches_parameters_of_train(loop: Loop) -> None:
    known = parameters_of(loop.train)
    for name in loop.search.space if loop.search and not takes_any(loop.train) else ():
        if name not in known:
            raise DeclarationError(
                f"search= names the parameter {name!r}, which train() does not have",
                where=_where(loop),
                fix=did_you_mean(name, known),
            )


def _names_each_step_once(loop: Loop) -> None:
    names = [step.name for step in loop.steps]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"two steps are called {name!r}", where=_where(loop), fix="rename one")


_CHECKS = (
    _has_parts_of_the_right_kind,
    _has_a_label,
    _has_the_time_it_splits_by,
    _has_the_time_it_learns_again_by,
    _has_a_function_that_trains,
    _searches_parameters_of_train,
    _names_each_step_once,
)
