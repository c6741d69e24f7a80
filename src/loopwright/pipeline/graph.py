"""A pipeline is a plain value: its steps and parameters, checked when it is declared.

One small function for each way to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_origin

from loopwright.errors import DeclarationError, UsageError, did_you_mean
from loopwright.pipeline import types
from loopwright.pipeline.step import REQUIRED, Step

SEED = "seed"
"""A parameter of this name is the run's seed."""
AnyStep = Step[..., Any]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps joined by the names of their parameters.

    `parameters` are values for the parameters that are no steps, or a type for one that every run must give.
    Raises DeclarationError for whatever does not fit together.

    >>> from loopwright.pipeline.step import step
    >>> @step
    ... def load(year: int = 2013) -> list[int]:
    ...     return [year]
    >>> @step
    ... def count(load: list[int]) -> int:
    ...     return len(load)
    >>> [step.name for step in Pipeline([count, load]).order]
    ['load', 'count']
    """

    steps: Sequence[AnyStep]
    name: str = field(default="", kw_only=True)
    """Empty: the name of the file."""
    parameters: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    fixed: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Parameters that no run may give: they are what the pipeline is."""
    _names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.steps, Step) or not isinstance(self.steps, Iterable):
            raise DeclarationError(f"steps={self.steps!r} is no list of steps", fix="write: Pipeline([load, clean])")
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        for check in (_has_steps, _has_only_steps):
            check(self)
        object.__setattr__(self, "_names", frozenset(step.name for step in self.steps))
        for check in CHECKS:
            check(self)

    @property
    def order(self) -> tuple[AnyStep, ...]:
        """The steps, each after all that it depends on; otherwise as declared."""
        return tuple(_sorted(self.steps))

    def needs(self, step: AnyStep) -> tuple[str, ...]:
        """Names of the steps whose outputs the step takes."""
        return tuple(entry.name for entry in step.inputs if entry.name in self._names)

    def bind(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The parameters of each step, in their types: given, else of the pipeline, else the step's own default.

        Text is read as the annotated type. Raises UsageError for unknown, missing and wrong ones.
        """
        known = self._parameter_names() - {SEED} - self.fixed
        for name in given:
            if name == SEED:
                raise UsageError("the seed is no parameter: it is the run's", fix="give it as --seed N, or seed=N")
            if name not in known:
                raise UsageError(
                    f"{self.name or 'the pipeline'} has no parameter {name!r}; {did_you_mean(name, known)}",
                    fix=f"it takes: {', '.join(sorted(known)) or 'none'}",
                )
        return {step.name: self._bind_step(step, given) for step in self.steps}

    def _parameter_names(self) -> set[str]:
        names = {step.name for step in self.steps}
        return {e.name for step in self.steps for e in step.inputs if e.name not in names} | set(self.parameters)

    def _bind_step(self, step: AnyStep, given: Mapping[str, Any]) -> dict[str, Any]:
        bound, needs, hints = {}, self.needs(step), step.hints()
        for entry in step.inputs:
            if entry.name not in needs and entry.name != SEED:
                value = self._value(step, entry.name, entry.default, given)
                bound[entry.name] = types.convert(value, hints.get(entry.name, Any), f"parameter {entry.name}")
        return bound

    def _value(self, step: AnyStep, name: str, default: Any, given: Mapping[str, Any]) -> Any:
        if name in given:
            return given[name]
        value = self.parameters.get(name, default)
        if _is_required(value):
            raise UsageError(
                f"{self.name or 'the pipeline'} needs a value for parameter {name!r} of step {step.name!r}",
                fix=f"give it: --param {name}=...",
            )
        return value


def _is_required(value: Any) -> bool:
    """Whether a type stands where a value would: then every run must give one."""
    return isinstance(value, type) or get_origin(value) is not None


def _has_steps(pipeline: Pipeline) -> None:
    if not pipeline.steps:
        raise DeclarationError("a pipeline without steps does nothing", fix="write: Pipeline([load, clean, train])")


def _has_only_steps(pipeline: Pipeline) -> None:
    entries: Sequence[object] = pipeline.steps
    for entry in entries:
        if not isinstance(entry, Step):
            name = getattr(entry, "__name__", repr(entry))
            raise DeclarationError(f"{name} is no step", fix=f"write @step above def {name}(...)")


def _has_one_step_of_each_name(pipeline: Pipeline) -> None:
    seen: dict[str, AnyStep] = {}
    for step in pipeline.steps:
        if step.name in seen:
            raise DeclarationError(
                f"two steps are called {step.name!r}",
                where=f"{seen[step.name].where} and {step.where}",
                fix="rename one: the name is how others depend on it",
            )
        seen[step.name] = step


def _leaves_the_seed_to_the_run(pipeline: Pipeline) -> None:
    """Else the run's seed would be handed on in place of the step's output, or of the parameter."""
    for step in pipeline.steps:
        if step.name == SEED:
            raise DeclarationError(
                f"a step is called {SEED!r}, which stands for the seed of the run", where=step.where, fix="rename it"
            )
    if SEED in pipeline.parameters:
        raise DeclarationError(f"the parameter {SEED!r} stands for the seed of the run", fix="give it as --seed N")


def _takes_only_known_names(pipeline: Pipeline) -> None:
    names = {step.name for step in pipeline.steps} | set(pipeline.parameters)
    for step in pipeline.steps:
        for entry in step.inputs:
            if entry.name not in names | {SEED} and entry.default is REQUIRED:
                raise DeclarationError(
                    f"step {step.name!r} needs {entry.name!r}, which is neither a step nor a parameter; "
                    f"{did_you_mean(entry.name, names - {step.name})}",
                    where=step.where,
                    fix=f"add the step, give the parameter a default, or write Pipeline(..., "
                    f"parameters={{{entry.name!r}: value}})",
                )


def _uses_every_parameter(pipeline: Pipeline) -> None:
    used = {entry.name for step in pipeline.steps for entry in step.inputs}
    for name in pipeline.parameters:
        if name not in used:
            raise DeclarationError(
                f"no step takes the parameter {name!r}; {did_you_mean(name, used)}", fix="correct the name or drop it"
            )
        if any(step.name == name for step in pipeline.steps):
            raise DeclarationError(f"{name!r} is both a step and a parameter", fix="rename one")


def _has_one_default_for_each_parameter(pipeline: Pipeline) -> None:
    first: dict[str, tuple[AnyStep, Any]] = {}
    steps = {step.name for step in pipeline.steps}
    for step in pipeline.steps:
        for entry in step.inputs:
            if entry.name in steps or entry.name in pipeline.parameters or entry.default is REQUIRED:
                continue
            other, default = first.setdefault(entry.name, (step, entry.default))
            if type(default) is not type(entry.default) or default != entry.default:
                raise DeclarationError(
                    f"parameter {entry.name!r} is {default!r} in step {other.name!r} and {entry.default!r} in "
                    f"step {step.name!r}",
                    where=f"{other.where} and {step.where}",
                    fix=f"say which: Pipeline(..., parameters={{{entry.name!r}: {default!r}}}), or rename one",
                )


def _gives_fitting_values(pipeline: Pipeline) -> None:
    for step in pipeline.steps:
        hints = step.hints()
        for entry in step.inputs:
            value = pipeline.parameters.get(entry.name, entry.default)
            if entry.name in pipeline._names or value is REQUIRED or _is_required(value):
                continue
            try:
                types.convert(value, hints.get(entry.name, Any), f"parameter {entry.name!r} of step {step.name!r}")
            except UsageError as error:
                raise DeclarationError(error.what, where=f"{error.where}, {step.where}", fix=error.fix) from None


def _has_no_cycle(pipeline: Pipeline) -> None:
    list(_sorted(pipeline.steps))


def _joins_fitting_types(pipeline: Pipeline) -> None:
    returns = {step.name: step.hints().get("return", Any) for step in pipeline.steps}
    for step in pipeline.steps:
        hints = step.hints()
        for name in pipeline.needs(step):
            wanted, given = hints.get(name, Any), returns[name]
            if not types.fits(given, wanted):
                raise DeclarationError(
                    f"step {name!r} returns {types.name(given)}, but step {step.name!r} takes it as "
                    f"{types.name(wanted)}",
                    where=step.where,
                    fix="make the two annotations agree",
                )


CHECKS = (
    _has_one_step_of_each_name,
    _leaves_the_seed_to_the_run,
    _takes_only_known_names,
    _uses_every_parameter,
    _has_one_default_for_each_parameter,
    _gives_fitting_values,
    _has_no_cycle,
    _joins_fitting_types,
)


def _sorted(steps: Iterable[AnyStep]) -> Iterator[AnyStep]:
    """Depth first, in declared order. Raises DeclarationError showing a cycle."""
    by_name = {step.name: step for step in steps}
    done: set[str] = set()

    def visit(step: AnyStep, path: tuple[str, ...]) -> Iterator[AnyStep]:
        if step.name in path:
            circle = " → ".join([*path[path.index(step.name) :], step.name])
            raise DeclarationError(
                f"the steps depend on each other in a circle: {circle}",
                where=step.where,
                fix="a parameter's name is the step it takes its value from; rename the one that should not",
            )
        if step.name not in done:
            for entry in step.inputs:
                if entry.name in by_name:
                    yield from visit(by_name[entry.name], (*path, step.name))
            done.add(step.name)
            yield step

    for step in by_name.values():
        yield from visit(step, ())
