"""A step: a typed function whose parameter names are what it depends on."""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from loopwright.errors import DeclarationError
from loopwright.pipeline.context import Context

P = ParamSpec("P")
R = TypeVar("R")
REQUIRED: Any = inspect.Parameter.empty
"""Stands for a default that is not there."""
_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


class Wait(Exception):
    """Raised by a step that cannot go on yet: it is started again later, from a row with a wake time. No failure.

    >>> raise Wait("the file of today has not arrived", seconds=600)
    Traceback (most recent call last):
    loopwright.pipeline.step.Wait: the file of today has not arrived
    """

    def __init__(self, reason: str, *, seconds: float) -> None:
        super().__init__(reason)
        if not 0 < seconds < math.inf:
            raise ValueError(f"Wait(seconds={seconds!r}): write seconds above 0")
        self.delay = timedelta(seconds=seconds)

    def until(self, now: datetime) -> datetime:
        return now + self.delay


class Rejected(Exception):
    """Raised by a step that must not let the result through: the run ends as `rejected`, exit code 3, never retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a step needs while it runs. Steps run side by side only as long as all of it fits the machine."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 0


def resources(*, cpus: float = 1.0, gpus: float = 0.0, memory: str | int = 0) -> Resources:
    """Say what a step needs; `memory` in bytes or as text with a unit.

    >>> resources(cpus=2, memory="1.5 GiB")
    Resources(cpus=2, gpus=0.0, memory_bytes=1610612736)
    """
    amounts: dict[str, object] = {"cpus": cpus, "gpus": gpus}
    for name, value in amounts.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DeclarationError(f"{name}={value!r} is no amount", where="resources()", fix=f"write {name}=1")
    return Resources(cpus=cpus, gpus=gpus, memory_bytes=_bytes(memory))


def _bytes(memory: str | int) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(memory).lower())
    if match is None or match[2] not in _UNITS:
        raise DeclarationError(
            f"memory={memory!r} is no amount", where="resources()", fix='write bytes or text: memory="2 GiB"'
        )
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failed step is started again, and after which wait."""

    retries: int
    backoff_seconds: float

    def backoff(self, failures: int) -> timedelta:
        """How long to wait after that many failures: doubles each time, an hour at most.

        >>> Retry(retries=3, backoff_seconds=5).backoff(3).total_seconds()
        20.0
        """
        return timedelta(seconds=min(self.backoff_seconds * 2.0 ** min(failures - 1, 60), 3600.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One parameter of a step's function."""

    name: str
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step(Generic[P, R]):
    """A function made a step by `@step`. Still callable as the function it is."""

    function: Callable[P, R]
    name: str
    inputs: tuple[Input, ...]
    retries: int = 0
    backoff_seconds: float = 1.0
    timeout_seconds: float | None = None
    resources: Resources = field(default_factory=Resources)
    cache: bool = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def __wrapped__(self) -> Callable[P, R]:
        """So that `inspect` and doctest see through to the function."""
        return self.function

    @property
    def where(self) -> str:
        """`file:line`."""
        code = getattr(self.function, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else self.name

    def hints(self) -> dict[str, Any]:
        """Annotations as types; one that cannot be resolved stands as Any."""
        return type_hints(self.function)

    @property
    def retry(self) -> Retry:
        return Retry(retries=self.retries, backoff_seconds=self.backoff_seconds)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    retries: int = 0,
    backoff_seconds: float = 1.0,
    timeout_seconds: float | None = None,
    resources: Resources | None = None,
    cache: bool = True,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    retries: int = 0,
    backoff_seconds: float = 1.0,
    timeout_seconds: float | None = None,
    resources: Resources | None = None,
    cache: bool = True,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a typed function a step.

    `retries` counts starts after the first failure; `backoff_seconds` is the wait before the first of them and doubles
    each time; a step over its `timeout_seconds` is stopped and counts as failed; `cache=False` runs it every time.
    Raises DeclarationError for a function that cannot be a step.

    >>> @step(retries=2)
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(21), double.name, [i.name for i in double.inputs]
    (42, 'double', ['number'])
    """
    if function is not None:
        return _make(function)

    def decorate(function: Callable[P, R]) -> Step[P, R]:
        made = _make(function)
        return replace(
            made,
            retries=_whole(retries, made),
            backoff_seconds=_positive("backoff_seconds", backoff_seconds, made),
            timeout_seconds=None if timeout_seconds is None else _positive("timeout_seconds", timeout_seconds, made),
            resources=_amounts(resources, made),
            cache=cache,
        )

    return decorate


def _make(function: Callable[P, R]) -> Step[P, R]:
    for check in (_is_a_function, _has_plain_parameters, _is_annotated, _closes_over_nothing):
        check(function)
    inputs = tuple(
        Input(name=parameter.name, default=parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if not takes_context(function, parameter.name)
    )
    return Step(function=function, name=function.__name__, inputs=inputs)


def takes_context(function: Callable[..., Any], name: str) -> bool:
    """Whether that parameter asks for the run's context, by its annotation."""
    annotation = function.__annotations__.get(name)
    if isinstance(annotation, str):
        annotation = type_hints(function).get(name)
    return annotation is Context


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation may be any expression, and fail in any way
        return {name: _one_hint(function, text) for name, text in function.__annotations__.items()}


def _one_hint(function: Callable[..., Any], annotation: Any) -> Any:
    probe: Any = type("Probe", (), {"__annotations__": {"it": annotation}})
    try:
        return typing.get_type_hints(probe, getattr(function, "__globals__", {})).get("it", Any)
    except Exception:  # noqa: BLE001 - as above: imported for type checking only, or not yet defined
        return Any


def _is_a_function(function: Any) -> None:
    if isinstance(function, Step):
        raise DeclarationError(f"{function.name} is a step already", where=function.where, fix="write @step once")
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise DeclarationError(
            f"a step is made from a function written with def, not from {function!r}",
            fix="write: @step\n         def clean(raw: DataFrame) -> DataFrame: ...",
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        kind = "an async function" if inspect.iscoroutinefunction(function) else "a generator"
        raise _wrong(function, f"is {kind}", f"write a plain function that returns its value: def {function.__name__}")


def _has_plain_parameters(function: Any) -> None:
    wanted = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in wanted:
            fix = "name each input: the names are what the step depends on"
            raise _wrong(function, f"takes {parameter}, which names no step or parameter", fix)


def _is_annotated(function: Any) -> None:
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty:
            fix = f"write the type: def {function.__name__}({parameter.name}: int, ...)"
            raise _wrong(function, f"does not say the type of {parameter.name!r}", fix)
    if signature.return_annotation is signature.empty:
        fix = f"write the type: def {function.__name__}(...) -> int:"
        raise _wrong(function, "does not say what it returns", fix)


def _closes_over_nothing(function: Any) -> None:
    if function.__code__.co_freevars:
        names = ", ".join(function.__code__.co_freevars)
        fix = "make it a parameter, so that a changed value runs the step again"
        raise _wrong(function, f"reads {names} of the function around it", fix)


def _whole(retries: object, made: Step[..., Any]) -> int:
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise _wrong(made.function, f"has retries={retries!r}", "write a whole number: retries=2")
    return retries


def _positive(name: str, value: object, made: Step[..., Any]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _wrong(made.function, f"has {name}={value!r}", f"write seconds above 0: {name}=30")
    return value


def _amounts(wanted: object, made: Step[..., Any]) -> Resources:
    if wanted is None:
        return Resources()
    if not isinstance(wanted, Resources):
        raise _wrong(made.function, f"has resources={wanted!r}", "write: resources=lw.resources(cpus=2)")
    return wanted


def _wrong(function: Any, what: str, fix: str) -> DeclarationError:
    code = function.__code__
    return DeclarationError(
        f"step {function.__name__!r} {what}", where=f"{code.co_filename}:{code.co_firstlineno}", fix=fix
    )
