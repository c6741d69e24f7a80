"""What may become a step, what is refused where it is written, and with which words."""

import functools
import math
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import DeclarationError
from loopwright.pipeline.context import Context
from loopwright.pipeline.step import REQUIRED, Resources, Retry, Wait, resources, step


def double(number: int, *, times: int = 2) -> int:
    return number * times


def test_a_step_is_still_the_function_it_is() -> None:
    made = step(double)
    assert made(21) == double(21) == 42
    assert made.name == "double"
    assert [(entry.name, entry.default) for entry in made.inputs] == [("number", REQUIRED), ("times", 2)]
    assert made.where == f"{__file__}:{double.__code__.co_firstlineno}"
    assert made.hints() == {"number": int, "times": int, "return": int}


def test_options_are_kept() -> None:
    made = step(retries=2, backoff_seconds=5, timeout_seconds=60, resources=resources(cpus=2), cache=False)(double)
    assert (made.retries, made.backoff_seconds, made.timeout_seconds, made.cache) == (2, 5, 60, False)
    assert made.resources.cpus == 2
    assert step(double).resources == Resources(cpus=1.0, gpus=0.0, memory_bytes=0)


def test_a_parameter_annotated_context_is_no_input() -> None:
    def asking(context: Context, number: int) -> int:
        return number

    def quoted(context: "Context", number: int) -> int:
        return number

    assert [entry.name for entry in step(asking).inputs] == ["number"]
    assert [entry.name for entry in step(quoted).inputs] == ["number"]


def test_an_annotation_that_cannot_be_resolved_stands_for_anything() -> None:
    def later(frame: "NotImported", number: int) -> "int":  # type: ignore[name-defined] # noqa: F821
        return number

    assert step(later).hints() == {"frame": Any, "number": int, "return": int}


def untyped(number) -> int:  # type: ignore[no-untyped-def]
    return int(number)


def unreturned(number: int):  # type: ignore[no-untyped-def]
    return number


def many(*numbers: int) -> int:
    return 0


def options(**numbers: int) -> int:
    return 0


def positional(number: int, /) -> int:
    return number


async def waiting() -> int:
    return 1


def yielding() -> Generator[int]:
    yield 1


def closing() -> Callable[[], int]:
    outside = 1

    def inner() -> int:
        return outside

    return inner


class Called:
    def __call__(self) -> int:
        return 1


REFUSED: dict[str, tuple[Any, str, str]] = {
    "a parameter without a type": (untyped, "does not say the type of 'number'", "number: int"),
    "no type of what it returns": (unreturned, "does not say what it returns", "-> int"),
    "any number of arguments": (many, "takes *numbers: int", "name each input"),
    "any options": (options, "takes **numbers: int", "name each input"),
    "an argument without a name": (positional, "which names no step or parameter", "name each input"),
    "an async function": (waiting, "is an async function", "plain function"),
    "a generator": (yielding, "is a generator", "plain function"),
    "a function that reads the one around it": (
        closing(),
        "reads outside of the function around it",
        "make it a parameter",
    ),
    "a lambda": (lambda: 1, "made from a function written with def", "@step"),
    "a class": (Called, "made from a function written with def", "@step"),
    "an object": (Called(), "made from a function written with def", "@step"),
    "a partial function": (functools.partial(double, 1), "made from a function written with def", "@step"),
    "a number": (3, "made from a function written with def", "@step"),
    "a step": (step(double), "double is a step already", "write @step once"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("decorator", [step, step(retries=1)], ids=["@step", "@step(...)"])
def test_what_cannot_be_a_step_is_refused_at_its_declaration(name: str, decorator: Any) -> None:
    function, what, fix = REFUSED[name]
    with pytest.raises(DeclarationError) as raised:
        decorator(function)
    assert what in raised.value.what
    assert fix in str(raised.value.fix)
    if "made from" not in what:
        assert str(raised.value.where).startswith(__file__)


WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"retries": -1}, "retries=-1"), ({"retries": 1.5}, "retries=1.5"), ({"retries": True}, "retries=True"),
    ({"retries": "2"}, "retries='2'"), ({"backoff_seconds": 0}, "backoff_seconds=0"),
    ({"backoff_seconds": math.nan}, "backoff_seconds=nan"), ({"timeout_seconds": -1}, "timeout_seconds=-1"),
    ({"timeout_seconds": math.inf}, "timeout_seconds=inf"), ({"timeout_seconds": "5s"}, "timeout_seconds='5s'"),
    ({"resources": 2}, "resources=2"), ({"resources": {"cpus": 2}}, "resources={'cpus': 2}"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "told"), WRONG_OPTIONS)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        step(**options)(double)
    assert told in raised.value.what
    assert "double" in raised.value.what
    assert raised.value.fix


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (0, 0), (1024, 1024), ("1024", 1024), ("2 GiB", 2 << 30), ("1.5GiB", 3 << 29), ("3 kb", 3000),
        (" 5 MB ", 5 * 10**6),        ("7 mib", 7 << 20), ("1 B", 1),
    ],
)  # fmt: skip
def test_memory_is_said_in_bytes_or_with_a_unit(memory: str | int, size: int) -> None:
    assert resources(memory=memory).memory_bytes == size


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": "much"}, {"memory": "-1"}, {"memory": "2 apples"}, {"memory": True}, {"cpus": -1}, {"cpus": "2"},
        {"cpus": math.nan}, {"gpus": math.inf}, {"gpus": True},
    ],
)  # fmt: skip
def test_an_amount_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="is no amount") as raised:
        resources(**wrong)
    assert raised.value.where == "resources()"


@given(st.integers(1, 10**6), st.floats(0.001, 10**6))
def test_the_wait_before_another_attempt_never_shrinks_and_ends_at_an_hour(failures: int, seconds: float) -> None:
    retry = Retry(retries=1, backoff_seconds=seconds)
    assert retry.backoff(failures) <= retry.backoff(failures + 1) <= timedelta(hours=1)
    assert retry.backoff(1) == min(timedelta(seconds=seconds), timedelta(hours=1))


def test_a_wish_to_wait_is_counted_from_now() -> None:
    wait = Wait("not yet", seconds=90)
    assert str(wait) == "not yet"
    assert wait.delay == timedelta(seconds=90)
