"""A loop, from its table to a registered version."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped]
from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from tests.integration.loopshop import LoopShop, rows, train, visits

import loopwright as lw
from loopwright.core.event import Cause
from loopwright.core.version import VersionStatus
from loopwright.errors import LoopwrightError
from loopwright.registry.promote import promote
from loopwright.steps import Judged, Registered
from loopwright.train.parts import Parts
from loopwright.train.trials import Searched

STRICT = lw.Judge("roc_auc", gates=[lw.at_least("roc_auc", 0.999)])


@pytest.fixture
def shop(tmp_path: Path) -> LoopShop:
    made = LoopShop(tmp_path)
    made.tables.append(visits, rows(unlabelled=60))
    return made


def test_a_loop_makes_an_accepted_version_of_its_newest_rows(shop: LoopShop) -> None:
    done = shop.run(shop.loop())
    assert done.status == "succeeded", done.run.error
    version = shop.stores.versions.get("buys", "1")
    registered: Registered = done.output("register")
    assert (registered.number, registered.digest, registered.accepted) == (1, version.digest, True)
    assert version.status is VersionStatus.ACCEPTED
    assert version.metric == "roc_auc"
    assert version.value is not None
    assert version.value > 0.6
    assert {"model.onnx", "schema.json", "statistics.json", "evaluation.json", "verdict.json", "card.html"} < set(
        version.files
    )


def test_the_lineage_says_what_the_model_was_made_of(shop: LoopShop) -> None:
    done = shop.run(shop.loop(), seed=5, parameters={"C": 0.5})
    lineage = shop.stores.versions.get("buys", "1").lineage
    assert lineage["run"] == done.id
    assert lineage["seed"] == 5
    assert lineage["parameters"] == {"C": 0.5}
    assert lineage["data"]["digest"] == shop.tables.current("visits").digest


def test_rows_without_a_label_are_no_negatives_but_left_out_and_counted(shop: LoopShop) -> None:
    parts: Parts = shop.run(shop.loop()).output("split")
    assert parts.unlabelled_rows == 60
    assert parts.train_rows + parts.held_rows == 540


def test_columns_that_must_never_reach_training_are_in_no_part_of_the_model(shop: LoopShop) -> None:
    shop.run(shop.loop())
    version = shop.stores.versions.get("buys", "1")
    schema = json.loads(shop.stores.blobs.read(version.files["schema.json"]))
    assert [column["name"] for column in schema["columns"]] == ["at", "channel", "pages"]
    assert schema["never"] == ["paid"]
    assert b"paid" not in shop.stores.blobs.read(version.files["model.onnx"])


def test_a_leaking_column_that_nobody_declared_stops_the_run(shop: LoopShop) -> None:
    leaky = lw.Table("visits", key="id", time="at", label="bought")
    done = shop.run(shop.loop(table=leaky))
    assert done.status == "failed"
    assert done.run.error
    assert "'paid'" in done.run.error.message
    assert "never=['paid']" in done.run.error.message
    assert shop.stores.versions.list("buys") == []


def test_a_column_that_is_trusted_stops_nothing(shop: LoopShop) -> None:
    leaky = lw.Table("visits", key="id", time="at", label="bought")
    encode = shop.loop(table=leaky, trust=["paid"], train=train_with_missing)
    assert shop.run(encode).status == "succeeded"


def train_with_missing(data: lw.TrainingData) -> Any:

    numbers = make_column_transformer(("passthrough", data.numeric))
    return make_pipeline(numbers, RandomForestClassifier(10, random_state=0)).fit(data.X, data.y)


def test_a_second_run_does_nothing_again_and_registers_nothing_twice(shop: LoopShop) -> None:
    shop.run(shop.loop())
    again = shop.run(shop.loop())
    ran = {name for name, status in again.steps.items() if status == "ran"}
    assert ran == {"ingest", "drift", "previous", "champion", "register"}
    assert len(shop.stores.versions.list("buys")) == 1


def test_the_champion_that_is_run_again_stays_what_it_was(shop: LoopShop) -> None:
    shop.run(shop.loop())
    promote(shop.stores, "buys", "1", Cause(actor="me", at=shop.clock.now()))
    again = shop.run(shop.loop())
    assert again.steps["judge"] == "reused"
    assert len(shop.stores.versions.list("buys")) == 1


def test_a_version_that_fails_its_gates_is_registered_as_rejected(shop: LoopShop) -> None:
    done = shop.run(shop.loop(judge=STRICT))
    assert done.status == "rejected"
    version = shop.stores.versions.get("buys", "1")
    assert version.status is VersionStatus.REJECTED
    assert "0 of 1 gates passed" in version.reason
    with pytest.raises(LoopwrightError, match="rejected"):
        promote(shop.stores, "buys", "1", Cause(actor="me", at=shop.clock.now()))


def test_other_gates_judge_the_same_model_anew_and_train_nothing(shop: LoopShop) -> None:
    shop.run(shop.loop())
    stricter = shop.run(shop.loop(judge=STRICT))
    assert stricter.status == "rejected"
    assert stricter.steps["train"] == stricter.steps["export"] == "reused"
    assert [version.status.value for version in shop.stores.versions.list("buys")] == ["rejected", "accepted"]


def test_a_challenger_is_compared_with_the_champion_on_the_same_rows(shop: LoopShop) -> None:
    shop.run(shop.loop())
    promote(shop.stores, "buys", "1", Cause(actor="me", at=shop.clock.now()))
    shop.tables.append(visits, rows(300, start=600, seed=1))
    done = shop.run(shop.loop())
    assert done.status == "succeeded", done.run.error
    judged: Judged = done.output("judge")
    assert judged.comparison is not None
    assert judged.comparison.rows == done.output("split").held_rows
    version = shop.stores.versions.get("buys", "2")
    assert version.lineage["champion"] == shop.stores.versions.get("buys", "1").digest
    assert "comparison.json" in version.files


def test_a_search_keeps_the_best_trial(shop: LoopShop) -> None:
    done = shop.run(shop.loop(search=lw.Search(trials=5, C=(0.0001, 10.0))))
    found: Searched = done.output("search")
    assert len(found.trials) == 5
    best = max(found.trials, key=lambda trial: trial.value or 0)
    assert found.parameters == best.parameters
    assert shop.stores.versions.get("buys", "1").lineage["parameters"] == best.parameters


def test_the_same_search_tries_the_same(shop: LoopShop, tmp_path: Path) -> None:
    other = LoopShop(tmp_path / "other")
    other.tables.append(visits, rows(unlabelled=60))
    search = lw.Search(trials=4, C=(0.01, 10.0))
    one, two = (each.run(each.loop(search=search)).output("search") for each in (shop, other))
    assert one == two


def refuses_half(data: lw.TrainingData, C: float = 1.0) -> Any:  # noqa: N803
    if C < 1:
        raise ValueError("too small")
    return train(data, C)


def test_a_trial_that_fails_is_left_behind(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=refuses_half, search=lw.Search(trials=4, C=[0.5, 2.0])))
    found: Searched = done.output("search")
    assert {trial.value is None for trial in found.trials} == {True, False}
    assert "too small" in next(trial.error for trial in found.trials if trial.value is None)
    assert found.parameters == {"C": 2.0}


def test_a_search_whose_every_trial_fails_says_why(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=refuses_half, search=lw.Search(trials=3, C=[0.1, 0.5])))
    assert done.run.error
    assert "every one of 3 trials failed" in done.run.error.message
    assert "too small" in done.run.error.message


def test_weights_change_the_model_and_the_measure(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    frame = rows().with_columns(weight=pl.Series(np.where(np.arange(600) % 3 == 0, 5.0, 0.1)))
    shop.tables.append(visits, frame)
    shop.run(shop.loop(trust=["weight"]))
    done = shop.run(shop.loop(weight="weight"))
    assert done.status == "succeeded", done.run.error
    assert done.output("evaluate").is_weighted
    schema = json.loads(shop.stores.blobs.read(shop.stores.versions.get("buys", "2").files["schema.json"]))
    assert "weight" not in [column["name"] for column in schema["columns"]]


def a_regressor(data: lw.TrainingData) -> Any:

    numbers = make_column_transformer(("passthrough", data.numeric))
    return make_pipeline(numbers, LinearRegression()).fit(data.X, data.y.astype(float))


def test_a_model_of_another_kind_than_is_judged_is_refused(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=a_regressor))
    assert done.run.error
    assert "regression" in done.run.error.message


def returns_nothing(data: lw.TrainingData) -> None: ...


def test_a_train_that_returns_nothing_is_told_so(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=returns_nothing))
    assert done.run.error
    assert "None" in done.run.error.message


def test_a_slice_that_is_no_column_is_told_with_the_closest(shop: LoopShop) -> None:
    done = shop.run(shop.loop(judge=lw.Judge("roc_auc", slices=["chanel"])))
    assert done.run.error
    assert "'chanel'" in done.run.error.message
    assert "did you mean 'channel'?" in done.run.error.message


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    done = shop.run(shop.loop())
    assert done.run.error
    assert "visits" in done.run.error.message


NOT_LEARNABLE = [
    (rows(50).with_columns(bought=pl.lit(None, dtype=pl.Boolean)), "no row has its label"),
    (rows(50).with_columns(bought=pl.lit(value=True)), "every row has the same label"),
]


@pytest.mark.parametrize(("frame", "told"), NOT_LEARNABLE)
def test_rows_that_nothing_can_be_learned_from_stop_the_run(frame: pl.DataFrame, told: str, tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, frame)
    done = shop.run(shop.loop())
    assert done.run.error
    assert told in done.run.error.message


def source() -> pl.DataFrame:
    return rows(300)


def test_a_source_is_brought_in_once(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    for _ in range(2):
        assert shop.run(shop.loop(source=source)).status == "succeeded"
    assert shop.tables.current("visits").rows == 300
    assert len(shop.tables.versions("visits")) == 1


def grown() -> pl.DataFrame:
    return rows(400)


def test_of_a_source_that_grew_the_new_rows_are_brought_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = LoopShop(tmp_path)
    shop.run(shop.loop(source=source))
    done = shop.run(shop.loop(source=grown))
    assert done.status == "succeeded", done.run.error
    assert shop.tables.current("visits").rows == 400
    assert "100 new rows were appended" in capsys.readouterr().out


def test_a_span_trains_on_its_rows_alone(shop: LoopShop) -> None:
    done = shop.run(shop.loop(), until="2026-01-15")
    assert done.status == "succeeded", done.run.error
    assert done.output("describe").rows.rows == 14 * 24


@lw.step
def describe(ingest: object) -> str:
    return "nothing to see"


def test_a_step_may_be_replaced(shop: LoopShop) -> None:
    @lw.step
    def audit(register: Registered) -> int:
        return register.number

    done = shop.run(shop.loop(steps=[audit]))
    assert done.output("audit") == 1


def a_network(data: lw.TrainingData) -> Any:
    """Learned batch by batch, on numbers alone."""
    torch: Any = import_module("torch")
    torch.manual_seed(data.seed)
    net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    for epoch in range(5):
        for X, y in data.batches(100):  # noqa: N806
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                net(torch.tensor(X.select("pages").to_numpy())).ravel(), torch.tensor(y.astype("float32"))
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        data.log(epoch=epoch, loss=loss.item())
    pages = make_column_transformer(("passthrough", ["pages"])).fit(data.head(100).select("pages"))
    return pages, net


def test_a_network_is_judged_and_registered(shop: LoopShop) -> None:
    pytest.importorskip("torch")
    done = shop.run(shop.loop(train=a_network))
    assert done.status == "succeeded", done.run.error
    version = shop.stores.versions.get("buys", "1")
    assert [entry["epoch"] for entry in version.lineage["logged"]] == [0, 1, 2, 3, 4]


def a_graph(data: lw.TrainingData) -> Any:
    """Whatever made it: here, what another model was exported to."""
    from loopwright.transform.export import export

    return export(train(data), data.raw.select(data.X.columns), data.y).graph


def test_a_graph_is_judged_and_registered(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=a_graph))
    assert done.status == "succeeded", done.run.error


def cause(shop: LoopShop) -> Cause:
    return Cause(actor="me", at=shop.clock.now())


def test_a_model_made_again_is_held_against_todays_champion(shop: LoopShop) -> None:
    """Whom it had to beat when it was made first counts for nothing: the champion is a better one by now."""
    weak = {"C": 0.00001}
    shop.run(shop.loop(), parameters=weak)
    promote(shop.stores, "buys", "1", cause(shop))
    shop.run(shop.loop())
    promote(shop.stores, "buys", "2", cause(shop))
    again = shop.run(shop.loop(judge=lw.Judge("log_loss", gates=[lw.not_worse("log_loss", by=0.001)])), parameters=weak)
    assert again.status == "rejected"
    verdict = again.output("judge").verdict
    assert "champion 0." in verdict.gates[0].reason


def test_rows_that_trained_the_champion_do_not_judge_its_challenger(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(600))
    shop.run(shop.loop(split=lw.Split("random", seed=1)))
    promote(shop.stores, "buys", "1", cause(shop))
    done = shop.run(shop.loop(split=lw.Split("random", seed=2)))
    compared = done.output("judge").comparison.rows
    assert 0 < compared < done.output("split").held_rows / 2


def test_a_random_split_keeps_its_rows_when_the_table_grows(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(600))
    loop = shop.loop(split=lw.Split("random"))
    shop.run(loop)
    promote(shop.stores, "buys", "1", cause(shop))
    shop.tables.append(visits, rows(200, start=600))
    done = shop.run(loop, seed=9)
    assert done.output("judge").comparison.rows == done.output("split").held_rows


def test_a_champion_that_takes_a_column_which_is_no_feature_any_more_is_still_compared(shop: LoopShop) -> None:
    shop.run(shop.loop())
    promote(shop.stores, "buys", "1", cause(shop))
    fewer = lw.Table("visits", key="id", time="at", label="bought", never=["paid", "channel"])
    done = shop.run(shop.loop(table=fewer))
    assert done.output("judge").comparison is not None


def two_kinds(n: int, *, kinds: list[str], start: int = 0) -> pl.DataFrame:
    return rows(n, start=start).with_columns(bought=pl.Series([kinds[i % len(kinds)] for i in range(n)]))


def test_a_champion_that_does_not_know_a_label_cannot_be_compared_and_the_run_says_so(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    kind = lw.Judge("accuracy", gates=[lw.not_worse("accuracy", by=0.5)])
    shop.tables.append(visits, two_kinds(300, kinds=["no", "yes", "maybe"]))
    shop.run(shop.loop(judge=kind))
    promote(shop.stores, "buys", "1", cause(shop))
    shop.tables.append(visits, two_kinds(300, kinds=["no", "yes", "maybe", "later"], start=300))
    done = shop.run(shop.loop(judge=kind))
    assert done.status == "rejected"
    assert "'later'" in done.output("judge").verdict.gates[0].reason


def test_rows_of_one_group_are_drawn_together_for_the_intervals(tmp_path: Path) -> None:
    """Each visit twenty times over tells no more than once."""
    once, often = LoopShop(tmp_path / "once"), LoopShop(tmp_path / "often")
    frame = rows(400).with_columns(customer=pl.col("id"))
    once.tables.append(visits, frame)
    copies = [frame.with_columns(id=pl.col("id") + f"-{copy}") for copy in range(20)]
    often.tables.append(visits, pl.concat(copies))
    table = lw.Table("visits", key="id", time="at", label="bought", never=["paid", "customer"])
    split = lw.Split("groups", key="customer")
    one, many = (shop.run(shop.loop(table=table, split=split)).output("evaluate") for shop in (once, often))
    widths = [found.metric("roc_auc").high - found.metric("roc_auc").low for found in (one, many)]
    assert widths[1] == pytest.approx(widths[0], rel=0.3)


def test_null_is_allowed_only_where_the_model_answers_to_it(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    holes = rows(600, unlabelled=60).with_columns(
        pages=pl.when(pl.col("bought").is_null()).then(None).otherwise(pl.col("pages"))
    )
    shop.tables.append(visits, holes)
    done = shop.run(shop.loop(trust=["pages"]))
    assert done.status == "succeeded", done.run.error
    schema = json.loads(shop.stores.blobs.read(shop.stores.versions.get("buys", "1").files["schema.json"]))
    assert {column["name"]: column["missing"] for column in schema["columns"]}["pages"] is False


def logs_nonsense(data: lw.TrainingData) -> Any:
    data.log(loss=float("nan"))
    return train(data)


def test_a_loss_that_is_no_number_is_kept_and_stops_nothing(shop: LoopShop) -> None:
    done = shop.run(shop.loop(train=logs_nonsense))
    assert done.status == "succeeded", done.run.error
    assert shop.stores.versions.get("buys", "1").lineage["logged"] == [{"loss": "nan"}]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"trust": ["pagez"]}, "'pagez'"),
    ({"weight": "at"}, "weights must be numbers"),
    ({"split": lw.Split("groups", key="custmer")}, "'custmer'"),
]


@pytest.mark.parametrize(("changed", "told"), WRONG)
def test_what_names_a_wrong_column_stops_before_anything_is_trained(
    shop: LoopShop, changed: dict[str, Any], told: str
) -> None:
    done = shop.run(shop.loop(**changed))
    assert done.run.error
    assert told in done.run.error.message
    assert "train" not in done.executions


def test_a_parameter_that_train_does_not_have_stops_before_anything_is_trained(shop: LoopShop) -> None:
    done = shop.run(shop.loop(), parameters={"c": 3.0})
    assert done.run.error
    assert "no parameter 'c'" in done.run.error.message
    assert "known: C" in done.run.error.message


def test_a_label_that_only_held_out_rows_have_stops_before_anything_is_trained(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, two_kinds(300, kinds=["no", "yes"]))
    shop.tables.append(visits, two_kinds(30, kinds=["new"], start=300))
    done = shop.run(shop.loop(judge=lw.Judge("accuracy"), trust=["at"]))
    assert done.run.error
    assert "'new' stands only in rows that are held out" in done.run.error.message


@pytest.mark.parametrize("name", ["loop", "judging", "table"])
def test_what_a_loop_is_no_run_may_change(shop: LoopShop, name: str) -> None:
    with pytest.raises(LoopwrightError, match=f"no parameter '{name}'"):
        shop.run(shop.loop(), **dict[str, Any]({name: "other"}))


def fails_inside(data: lw.TrainingData) -> Any:
    return data.X.select("not there")


def test_an_error_in_train_is_told_from_the_users_own_lines(shop: LoopShop) -> None:
    failure = shop.run(shop.loop(train=fails_inside)).run.error
    assert failure
    assert "steps.py" not in failure.traceback
    assert "fails_inside" in failure.traceback
    assert "test_loop.py" in (failure.where or "")


def test_an_error_of_ours_is_told_without_our_lines(shop: LoopShop) -> None:
    failure = shop.run(shop.loop(train=returns_nothing)).run.error
    assert failure
    assert failure.traceback == ""
    assert "steps.py" not in (failure.where or "")
