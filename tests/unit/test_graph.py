"""A pipeline that does not fit together is refused where it is declared."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import DeclarationError, UsageError
from loopwright.pipeline.graph import AnyStep, Pipeline
from loopwright.pipeline.step import step


@step
def load(year: int = 2013) -> list[int]:
    return [year]


@step
def clean(load: list[int]) -> list[int]:
    return load


@step
def train(clean: list[int], rate: float = 0.1) -> float:
    return rate


@step
def report(train: str) -> str:
    return train


@step
def typo(cleand: list[int]) -> int:
    return 1


@step
def chicken(egg: int) -> int:
    return egg


@step
def egg(chicken: int) -> int:
    return chicken


@step
def itself(itself: int) -> int:
    return itself


@step
def other_year(year: int = 2014) -> int:
    return year


@step
def real_year(year: float = 2013.0) -> float:
    return year


@step
def seed() -> int:
    return 1


@step
def seeded(seed: int) -> int:
    return seed


def plain() -> int:
    return 1


again = step(clean.function)

REFUSED: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "nothing": ([], {}, "without steps", "Pipeline([load"),
    "a single step": (load, {}, "is no list of steps", "Pipeline([load"),
    "no list": (3, {}, "is no list of steps", "Pipeline([load"),
    "a function": ([load, plain], {}, "plain is no step", "@step above def plain"),
    "a name": (["load"], {}, "'load' is no step", "@step"),
    "one name twice": ([load, clean, again], {}, "two steps are called 'clean'", "rename one"),
    "an unknown name": (
        [load, clean, typo], {},
        "needs 'cleand', which is neither a step nor a parameter; did you mean 'clean'?", "'cleand': value",
    ),
    "a circle": ([chicken, egg], {}, "chicken → egg → chicken", "rename"),
    "a circle of one": ([itself], {}, "itself → itself", "rename"),
    "types that do not fit": (
        [load, clean, train, report], {}, "'train' returns float, but step 'report' takes it as str", "agree",
    ),
    "a parameter that nobody takes": (
        [load], {"yaer": 1}, "no step takes the parameter 'yaer'; did you mean 'year'?", "correct",
    ),
    "a parameter that is a step": ([load, clean], {"load": 1}, "'load' is both a step and a parameter", "rename"),
    "two defaults": (
        [load, other_year], {}, "'year' is 2013 in step 'load' and 2014 in step 'other_year'", "say which",
    ),
    "two types of defaults": ([load, real_year], {}, "2013 in step 'load' and 2013.0", "say which"),
    "a step called seed": ([seed, seeded], {}, "stands for the seed", "rename"),
    "a parameter called seed": ([seeded], {"seed": 5}, "stands for the seed", "--seed"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_pipeline_is_refused_for(name: str) -> None:
    steps, parameters, what, fix = REFUSED[name]
    with pytest.raises(DeclarationError) as raised:
        Pipeline(steps, parameters=parameters)
    assert what in raised.value.what
    assert fix in str(raised.value.fix)


def test_where_is_the_line_of_the_step() -> None:
    with pytest.raises(DeclarationError) as raised:
        Pipeline([load, typo])
    assert raised.value.where == typo.where


def test_one_value_said_by_the_pipeline_settles_two_defaults() -> None:
    assert Pipeline([load, other_year], parameters={"year": 2015}).bind({}) == {
        "load": {"year": 2015}, "other_year": {"year": 2015},
    }  # fmt: skip


def test_steps_come_in_order_of_need_and_else_as_declared() -> None:
    pipeline = Pipeline([train, load, clean])
    assert [each.name for each in pipeline.order] == ["load", "clean", "train"]
    assert pipeline.needs(train) == ("clean",)
    assert pipeline.needs(load) == ()


def graph(needs: dict[int, list[int]]) -> list[AnyStep]:
    source = "".join(
        f"def s{node}({', '.join(f's{other}: int' for other in others)}) -> int: return 1\n"
        for node, others in needs.items()
    )
    names: dict[str, Any] = {"__name__": "graph"}
    exec(source, names)
    return [step(names[f"s{node}"]) for node in needs]


@given(
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(
            st.lists(st.lists(st.integers(0, size), max_size=4, unique=True), min_size=size, max_size=size),
            st.permutations(range(size)),
        )
    )
)
def test_any_graph_without_a_circle_is_put_in_order(drawn: tuple[list[list[int]], list[int]]) -> None:
    wishes, declared = drawn
    needs = {node: sorted(other for other in wishes[node] if other < node) for node in declared}
    pipeline = Pipeline(graph(needs))
    names = [each.name for each in pipeline.order]
    assert sorted(names) == sorted(f"s{node}" for node in declared)
    for node, others in needs.items():
        assert all(names.index(f"s{other}") < names.index(f"s{node}") for other in others)


@given(st.integers(2, 6), st.data())
def test_any_circle_is_shown(size: int, data: st.DataObject) -> None:
    needs = {node: [(node + 1) % size] for node in range(size)}
    shuffled = data.draw(st.permutations(range(size)))
    with pytest.raises(DeclarationError, match="in a circle") as raised:
        Pipeline(graph({node: needs[node] for node in shuffled}))
    shown = raised.value.what.split(": ")[1].split(" → ")
    assert shown[0] == shown[-1]
    assert sorted(shown[1:]) == [f"s{node}" for node in range(size)]


# -- parameters ------------------------------------------------------------------------------------------------------

PIPELINE = Pipeline([load, clean, train], name="flights")


def test_parameters_are_given_or_of_the_pipeline_or_the_defaults_of_the_step() -> None:
    assert PIPELINE.bind({}) == {"load": {"year": 2013}, "clean": {}, "train": {"rate": 0.1}}
    assert PIPELINE.bind({"year": "2015"})["load"] == {"year": 2015}
    with_own = Pipeline([load, clean, train], parameters={"rate": 0.5})
    assert with_own.bind({})["train"] == {"rate": 0.5}
    assert with_own.bind({"rate": "0.25"})["train"] == {"rate": 0.25}


@step
def wanting(files: list[str], mode: Literal["a", "b"] | None = None, folder: Path = Path()) -> int:
    return 1


@pytest.mark.parametrize("required", [list, list[str], list[str] | None])
def test_a_type_stands_for_a_value_that_every_run_must_give(required: Any) -> None:
    pipeline = Pipeline([wanting], parameters={"files": required}, name="flights")
    with pytest.raises(UsageError, match="flights needs a value for parameter 'files' of step 'wanting'") as raised:
        pipeline.bind({})
    assert raised.value.fix == "give it: --param files=..."
    assert pipeline.bind({"files": '["x"]'}) == {"wanting": {"files": ["x"], "mode": None, "folder": Path()}}


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"yaer": "1"}, "flights has no parameter 'yaer'; did you mean 'year'?"),
        ({"zzz": 1}, "known: rate, year"),
        ({"load": 1}, "has no parameter 'load'"),
        ({"year": "abc"}, "'abc' is no int"),
        ({"year": 1.5}, "1.5 is no int"),
        ({"seed": 1}, "--seed"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        PIPELINE.bind(given_)
    assert told in str(raised.value)


def test_a_pipeline_does_not_change_with_what_it_was_made_of() -> None:
    steps: list[AnyStep] = [load]
    parameters = {"year": 1}
    pipeline = Pipeline(steps, parameters=parameters)
    steps.append(clean)
    parameters["year"] = 2
    assert len(pipeline.steps) == 1
    assert pipeline.bind({})["load"] == {"year": 1}
    with pytest.raises(AttributeError):
        pipeline.name = "other"  # type: ignore[misc]


def test_a_default_that_is_not_of_its_type_is_told_at_declaration() -> None:
    @step
    def late(minutes: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013 - that is the point
        return minutes

    with pytest.raises(DeclarationError, match="None is no int"):
        Pipeline([late])


def test_a_value_that_is_not_of_its_type_is_told_at_declaration() -> None:
    @step
    def late(minutes: int) -> int:
        return minutes

    with pytest.raises(DeclarationError, match="'many' is no int"):
        Pipeline([late], parameters={"minutes": "many"})
