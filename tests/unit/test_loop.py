"""Declaring a loop: what is refused before anything runs, and how it is told."""

from collections.abc import Callable
from typing import Any

import pytest

import loopwright as lw
from loopwright.errors import DeclarationError, UsageError

flights = lw.Table("flights", key="id", time="at", label="late")


def train(data: lw.TrainingData, depth: int = 3, rate: float = 0.1) -> None: ...


def train_on_anything(data: lw.TrainingData, **parameters: float) -> None: ...


def takes_nothing() -> None: ...


def has_no_default(data: lw.TrainingData, depth: int) -> None: ...


@lw.step
def audit(ingest: object) -> int:
    return 1


def a_loop(**changed: Any) -> lw.Loop:
    declared: dict[str, Any] = {"name": "late", "table": flights, "train": train, "judge": lw.Judge("roc_auc")}
    return lw.Loop(**(declared | changed))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "Late Arrivals"}, "'Late Arrivals'", "late_arrivals"),
    ({"table": "flights"}, "table='flights'", "lw.Table("),
    ({"table": lw.Table("flights", time="at")}, "names no label", 'label="a_column"'),
    ({"table": lw.Table("flights", label="late")}, "names none", 'lw.Split("random")'),
    (
        {"table": lw.Table("flights", label="late"), "split": lw.Split("random"), "retrain": [lw.on_new_data("30d")]},
        "on_new_data() goes by the time of the rows",
        'time="a_column"',
    ),
    (
        {
            "table": lw.Table("flights", label="late"),
            "split": lw.Split("random"),
            "retrain": lw.Retrain(look_back="90d"),
        },
        "Retrain(look_back=...) goes by the time of the rows",
        'time="a_column"',
    ),
    ({"train": "train"}, "no function", "def train(data"),
    ({"train": lambda data: None}, "no function", "def train(data"),
    ({"train": takes_nothing}, "takes no data", "def train(data"),
    ({"train": has_no_default}, "'depth' of train() has no default", "give it one"),
    ({"judge": "roc_auc"}, "judge='roc_auc'", 'lw.Judge("roc_auc")'),
    ({"search": {"depth": [1, 2]}}, "search={'depth': [1, 2]}", "lw.Search("),
    ({"search": lw.Search(trials=3, dept=(1, 9))}, "'dept'", "did you mean 'depth'?"),
    ({"split": "time"}, "split='time'", "lw.Split("),
    ({"release": 0.1}, "release=0.1", "lw.Canary("),
    ({"weight": 3}, "weight=3", "a_column"),
    ({"trust": "seats"}, "trust='seats'", "trust=[...]"),
    ({"validate": "schema.toml"}, "validate='schema.toml'", "lw.Validate("),
    ({"trust": [1]}, "trust= holds 1", "a_column"),
    ({"retrain": lw.on_drift()}, "is no list", "retrain=[...]"),
    ({"retrain": ["30d"]}, "'30d'", "lw.on_new_data"),
    ({"steps": [train]}, "steps= holds", "@lw.step"),
    ({"steps": [audit, audit]}, "two steps are called 'audit'", "rename one"),
]


@pytest.mark.parametrize(("changed", "what", "fix"), WRONG)
def test_what_is_declared_wrongly_is_refused_with_what_is_right(changed: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        a_loop(**changed)
    assert what in raised.value.what
    assert fix in (raised.value.fix or "")


WORDS: list[tuple[Callable[[], object], str]] = [
    (lambda: lw.Search(trials=0, depth=(1, 3)), "trials=0"),
    (lambda: lw.Search(trials=True, depth=(1, 3)), "trials=True"),
    (lambda: lw.Search(seconds=-1, depth=(1, 3)), "seconds=-1"),
    (lambda: lw.Search(), "names no parameter"),
    (lambda: lw.Search(depth=(3, 1)), "3 is not below 1"),
    (lambda: lw.Search(depth=[]), "neither a pair nor a list"),
    (lambda: lw.Search(depth=[[1]]), "[1] is no plain value"),
    (lambda: lw.Search(depth="3"), "is one value"),
    (lambda: lw.Split("tyme"), "no rule 'tyme'"),  # type: ignore[arg-type]
    (lambda: lw.Split("groups"), "groups need the columns"),
    (lambda: lw.Split("time", key="a"), "time takes no key"),
    (lambda: lw.Split(holdout=1), "holdout=1"),
    (lambda: lw.Split(holdout=20), "holdout=20"),
    (lambda: lw.Canary(shares=[]), "no list of shares"),
    (lambda: lw.Canary(shares=[0.5, 0.1, 1.0]), "do not rise"),
    (lambda: lw.Canary(shares=[0.1, 0.5]), "do not rise to 1.0"),
    (lambda: lw.Canary(shares=[1, 10, 100]), "10 is no share"),
    (lambda: lw.Canary(hold="6"), "'6' is no length of time"),
    (lambda: lw.Canary(hold="9999999999999d"), "'9999999999999d' is more than a hundred years"),
    (lambda: lw.Canary(shadow="0d"), "'0d' is no length of time"),
    (lambda: lw.Validate(schema="schema.json"), "schema='schema.json'"),
    (lambda: lw.Validate(span="a month"), "'a month' is no length of time"),
    (lambda: lw.Validate(quarantine="NaN"), "no list of kinds"),
    (lambda: lw.Validate(quarantine=[]), "no list of kinds"),
    (lambda: lw.Validate(quarantine=["missing column"]), "about no single rows"),
    (lambda: lw.Validate(quarantine=["number to big"]), "'number to big'"),
    (lambda: lw.Validate(quarantine=True, most_quarantined=5), "most_quarantined=5"),
    (lambda: lw.Validate(quarantine=True, most_quarantined=True), "most_quarantined=True"),
    (lambda: lw.on_new_data("a month"), "'a month' is no length of time"),
    (lambda: lw.on_decay("roc_auk", by=0.1), "no metric 'roc_auk'"),
    (lambda: lw.on_decay("roc_auc", by=0), "by=0 is no amount"),
    (lambda: lw.every("90 dayz"), "'90 dayz'"),
]


@pytest.mark.parametrize(("declare", "what"), WORDS)
def test_each_word_refuses_what_it_cannot_mean(declare: Callable[[], object], what: str) -> None:
    with pytest.raises(UsageError) as raised:
        declare()
    assert what in raised.value.what
    assert raised.value.fix


def test_a_loop_is_a_pipeline_of_the_standard_steps() -> None:
    names = [step.name for step in a_loop().as_pipeline().order]
    assert names[0] == "ingest"
    assert names[-2:] == ["judge", "register"]
    assert {
        "describe",
        "validate",
        "drift",
        "select",
        "split",
        "search",
        "train",
        "export",
        "evaluate",
        "champion",
    } < set(names)


def test_a_step_of_the_same_name_replaces_and_another_is_added() -> None:
    @lw.step
    def describe(ingest: object) -> object:
        return None

    pipeline = a_loop(steps=[describe, audit]).as_pipeline()
    assert describe in pipeline.steps
    assert audit in pipeline.steps
    assert len(pipeline.steps) == 15


def test_a_train_that_takes_any_parameter_may_be_searched_by_any() -> None:
    assert a_loop(train=train_on_anything, search=lw.Search(depth=(1, 3))).search is not None
