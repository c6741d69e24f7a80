"""What a loop's training starts from: nothing, the champion's parameters, or the champion itself."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from tests.integration.loopshop import LoopShop, rows, train, visits

import loopwright as lw
from loopwright.registry.promote import promote
from loopwright.train.trials import Searched

SEARCH = lw.Search(trials=3, C=(0.1, 10.0))
EASY = lw.Judge("roc_auc", gates=[lw.at_least("roc_auc", 0.1)])
TOLD: list[Any] = []


def numbers(data: lw.TrainingData) -> pl.DataFrame:
    return data.X.select(data.numeric)


def going_on(data: lw.TrainingData, C: float = 1.0) -> LogisticRegression:  # noqa: N803
    """Remembers what it was given, and begins from the champion's weights."""
    model = LogisticRegression(C=C, max_iter=500, warm_start=True)
    TOLD.append(None if data.previous is None else data.previous.parameters)
    if data.previous is not None:
        before = data.previous.predict(data.X)
        TOLD.append((sorted(data.previous.weights()), before.scores, len(data.X)))
    return model.fit(numbers(data), data.y)


@pytest.fixture
def shop(tmp_path: Path) -> LoopShop:
    """With a champion whose parameters were searched."""
    made = LoopShop(tmp_path)
    made.tables.append(visits, rows())
    assert made.run(made.loop(search=SEARCH)).status == "succeeded"
    promote(made.stores, "buys", "1", made.cause())
    made.tables.append(visits, rows(200, start=600, seed=1))
    TOLD.clear()
    return made


def test_with_the_champions_parameters_nothing_is_searched(shop: LoopShop) -> None:
    best = shop.stores.versions.get("buys", "1").lineage["parameters"]
    done = shop.run(shop.loop(search=SEARCH), start="parameters")
    found: Searched = done.output("search")
    assert (dict(found.parameters), found.trials) == (best, ())
    assert shop.stores.versions.get("buys", "2").lineage["parameters"] == best
    given = shop.run(shop.loop(search=SEARCH), start="parameters", parameters={"C": 0.5})
    assert dict(given.output("search").parameters) == {"C": 0.5}
    assert len(shop.run(shop.loop(search=SEARCH)).output("search").trials) == 3


def test_what_the_champion_has_not_is_searched(shop: LoopShop) -> None:
    def deeper(data: lw.TrainingData, C: float = 1.0, tol: float = 1e-4) -> LogisticRegression:  # noqa: N803
        return LogisticRegression(C=C, tol=tol).fit(numbers(data), data.y)

    searching = lw.Search(trials=2, tol=[1e-4, 1e-3])
    assert len(shop.run(shop.loop(train=deeper, search=searching), start="parameters").output("search").trials) == 2


def test_fine_tuning_is_given_the_champion(shop: LoopShop) -> None:
    champion = shop.stores.versions.get("buys", "1")
    done = shop.run(shop.loop(judge=EASY, train=going_on, search=SEARCH), start="fine_tune")
    assert done.status == "succeeded", done.run.error
    parameters, (names, scores, trained) = TOLD
    assert dict(parameters) == champion.lineage["parameters"]
    assert names
    assert (len(scores), trained > 0) == (trained, True)
    assert np.all((scores >= 0) & (scores <= 1))
    made = shop.stores.versions.get("buys", "2").lineage
    assert made["previous"] == champion.digest
    assert made["parameters"] == champion.lineage["parameters"]


def test_from_scratch_there_is_nothing_before_and_a_new_champion_makes_nothing_be_done_again(shop: LoopShop) -> None:
    first = shop.run(shop.loop(judge=EASY, train=going_on))
    assert TOLD == [None]
    promote(shop.stores, "buys", "2", shop.cause())
    again = shop.run(shop.loop(judge=EASY, train=going_on))
    assert {first.status, again.status} == {"succeeded"}
    assert again.steps["train"] == again.steps["search"] == "reused"
    assert "previous" not in shop.stores.versions.get("buys", "2").lineage


def test_a_new_champion_makes_fine_tuning_begin_anew_and_the_same_one_does_not(shop: LoopShop) -> None:
    loop = shop.loop(judge=EASY, train=going_on)
    shop.run(loop, start="fine_tune")
    assert shop.run(loop, start="fine_tune").steps["train"] == "reused"
    promote(shop.stores, "buys", "2", shop.cause())
    assert shop.run(loop, start="fine_tune").steps["train"] == "ran"


def test_without_a_champion_it_starts_from_scratch(tmp_path: Path) -> None:
    made = LoopShop(tmp_path)
    made.tables.append(visits, rows())
    done = made.run(made.loop(train=train), start="fine_tune")
    assert done.status == "succeeded"
    assert "previous" not in made.stores.versions.get("buys", "1").lineage


def test_another_start_is_refused(shop: LoopShop) -> None:
    done = shop.run(shop.loop(), start="fine-tune")
    assert done.run.error is not None
    assert "'fine-tune' is no start" in done.run.error.message


def network() -> Any:
    """One column in, one logit out; the same each time."""
    torch = import_module("torch")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))


def learn(data: lw.TrainingData) -> Any:
    """The network with its first biases moved by one, or what the champion made of it."""
    torch, module = import_module("torch"), network()
    if data.previous is not None:
        weights = data.previous.weights()
        module.load_state_dict({name: torch.tensor(weights[name]) for name in module.state_dict()})
        TOLD.append(module[0].bias.detach().numpy())
        return module
    with torch.no_grad():
        module[0].bias += 1.0
    return module


def test_the_weights_of_a_network_come_back_by_the_names_it_has(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    TOLD.clear()
    made = LoopShop(tmp_path)
    table = lw.Table("visits", key="id", label="bought", never=["paid", "channel"])
    made.tables.append(table, rows().drop("at"))
    loop = made.loop(train=learn, table=table, judge=EASY, split=lw.Split("random"))
    assert made.run(loop).status == "succeeded"
    promote(made.stores, "buys", "1", made.cause())
    assert made.run(loop, start="fine_tune").status == "succeeded"
    assert np.allclose(TOLD[0], network()[0].bias.detach().numpy() + 1.0)
