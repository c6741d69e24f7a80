"""THE SPINE: what a loop does, step by step, in the order the data flows. Each step is thin and may be replaced.

    ingest ─► describe ─► validate ─► split ─► search ─► train ─► export ─► evaluate ─┐
                                                            champion ─────────────────┴─► judge ─► register

Steps that look at the world (what rows there are, who is champion) run every time; all others are functions of what
these found, so that nothing finished is done again. From `export` on, everything runs the bundle, never the Python
model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from loopwright.core.event import Cause
from loopwright.core.version import CHAMPION, Version, VersionStatus
from loopwright.data import leaks, statistics
from loopwright.data import validate as validation
from loopwright.data.bring import bring
from loopwright.data.findings import Finding, errors
from loopwright.data.rows import Rows, pin
from loopwright.data.schema import Schema
from loopwright.data.statistics import Statistics
from loopwright.data.table import Table
from loopwright.errors import DataError, DeclarationError, UsageError, VersionNotFound, did_you_mean
from loopwright.judge.card import card
from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.compare import compare
from loopwright.judge.declare import Judge
from loopwright.judge.evaluate import evaluate as measure
from loopwright.judge.evaluation import Comparison, Evaluation
from loopwright.judge.metrics import values, why_undefined
from loopwright.judge.sample import Sample
from loopwright.judge.scored import refuse_other_task, sampled, scored
from loopwright.judge.verdict import Verdict
from loopwright.judge.verdict import judge as decide
from loopwright.pipeline.context import Context
from loopwright.pipeline.keys import as_json
from loopwright.pipeline.step import Rejected, step
from loopwright.registry.fetch import fetch
from loopwright.registry.register import register as registering
from loopwright.train import parts, trials
from loopwright.train.data import TrainingData
from loopwright.train.fitted import said
from loopwright.train.parameters import parameters_of, takes_any
from loopwright.train.parts import HELD, TRAIN, VALIDATION, Parts
from loopwright.train.search import Search
from loopwright.train.split import Split
from loopwright.train.trials import Searched
from loopwright.transform import bundle
from loopwright.transform.inputs import Inputs
from loopwright.transform.parity import Answers, answers, check_parity
from loopwright.transform.predictor import Predictor

Train = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The column contract of rows that may be trained on, and what was found all the same."""

    schema: Schema
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A fitted model as its graph, and what the Python model said: all that the next steps need of it."""

    graph: Path
    inputs: tuple[Mapping[str, str], ...]
    task: str
    classes: tuple[Any, ...]
    answers: Answers
    parameters: Mapping[str, Any]
    logged: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict, and the comparison with the champion where there was one."""

    verdict: Verdict
    comparison: Comparison | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The version that the run made."""

    loop: str
    number: int
    digest: str
    accepted: bool


@step(cache=False)
def ingest(
    table: Table, source: Any, weight: str | None, since: date | None, until: date | None, context: Context
) -> Rows:
    """Bring in what is new, and pin the state of the table that everything after stands on."""
    if source is not None:
        print(bring(context.tables, table, source).told(table.name))
    rows = pin(context.tables, table, weight=weight, since=since, until=until)
    print(f"{table.name} version {rows.version.version}: {rows.version.rows:,} rows")
    return rows


@step
def describe(ingest: Rows, context: Context) -> Statistics:
    """The statistics of what a model may see, and of the label."""
    return statistics.describe(ingest.scan(context.tables, [*ingest.features, ingest.label]))


@step
def validate(
    ingest: Rows,
    describe: Statistics,
    trust: Sequence[str],
    slices: tuple[tuple[str, ...], ...],
    context: Context,
) -> Validated:
    """Stop at errors: rows that nothing can be learned from, columns that give the label away or are not there."""
    _refuse_unknown(ingest, "trust=", trust)
    _refuse_unknown(ingest, "slices of the judge", [name for columns in slices for name in columns])
    _refuse_weights(ingest, context)
    found = validation.findings(describe, ingest.features, ingest.label)
    if not errors(found):
        rows = ingest.scan(context.tables, [*ingest.features, ingest.label]).collect()
        suspects = [name for name in ingest.features if name not in trust]
        found += leaks.leaks(rows, suspects, ingest.label, seed=context.seed)
    for finding in found:
        print(finding)
    if stops := errors(found):
        raise DataError(
            "; ".join(finding.message for finding in stops),
            where=f"table {ingest.table.name!r}",
            fix="; ".join(dict.fromkeys(finding.fix for finding in stops)),
        )
    return Validated(schema=validation.contract(describe, ingest.features, ingest.table), findings=tuple(found))


@step
def split(
    ingest: Rows,
    validate: Validated,  # noqa: ARG001 - nothing is trained on rows that did not pass
    splitting: Split,
    context: Context,
) -> Parts:
    """Which rows train, and which are held out to judge; those without a label are left out and counted."""
    table = ingest.table
    _refuse_unknown(ingest, "split=", splitting.key)
    columns = [table.time] if splitting.by == "time" and table.time else splitting.key or table.key or ingest.features
    labelled = ingest.labelled(context.tables, columns).collect()
    unlabelled = ingest.unlabelled(context.tables)
    settled = parts.carry_out(
        splitting, labelled.select(columns), time=table.time, key=table.key, unlabelled_rows=unlabelled
    )
    _refuse_new_classes(labelled[ingest.label], settled.of(labelled.select(columns)) == HELD)
    print(f"{settled.train_rows:,} rows train, {settled.held_rows:,} are held out, {unlabelled:,} have no label")
    return settled


@step
def search(
    ingest: Rows,
    split: Parts,
    training: Train,
    searching: Search | None,
    metric: str,
    parameters: dict[str, Any],
    context: Context,
) -> Searched:
    """The parameters to train with: as given, and the best that the search found."""
    _refuse_unknown_parameters(training, parameters)
    if searching is None:
        return Searched(parameters=parameters)
    if split.validation_rows == 0:
        raise DataError(
            "the split leaves no rows to compare trials on", where="search=", fix="append more labelled rows"
        )
    fitted = _part(ingest, split, context, TRAIN)
    compared = _part(ingest, split, context, VALIDATION).collect()

    def value(tried: Mapping[str, Any]) -> float:
        data = _data(ingest, fitted, context.seed)
        model = training(data, **{**parameters, **tried})
        return _value(model, data, compared, ingest, metric)

    bigger_is_better = METRICS[metric].bigger_is_better
    found = trials.carry_out(
        searching, value, bigger_is_better=bigger_is_better, seed=context.seed, clock=context.clock
    )
    for trial in found.trials:
        told = f"{metric} {trial.value:.4f}" if trial.value is not None else f"failed: {trial.error}"
        print(f"{told}  {dict(trial.parameters)}")
    return replace(found, parameters={**parameters, **found.parameters})


@step
def train(ingest: Rows, split: Parts, search: Searched, training: Train, context: Context) -> Trained:
    """Call the loop's `train()`, make the graph of what it returns, and keep what Python says of held-out rows."""
    from loopwright.transform.export import export as to_graph  # the converters: not where all is reused

    data = _data(ingest, _part(ingest, split, context, TRAIN, VALIDATION), context.seed)
    model = training(data, **search.parameters)
    if hasattr(model, "fit"):  # checked on all its rows, and fitted again where rounding would show
        weights: dict[str, Any] = {} if data.weights is None else {"sample_weight": data.weights}
        exported = to_graph(model, data.raw.select(ingest.features), data.y, **weights)
    else:  # a network or a graph is taken as it is: its rows tell the types
        exported = to_graph(model, data.head(1000).select(ingest.features), data.y)
    held = _part(ingest, split, context, HELD).select(ingest.features).collect()
    graph = context.folder / "model.onnx"
    graph.write_bytes(exported.graph.SerializeToString())
    return Trained(
        graph=graph,
        inputs=tuple(exported.inputs.to_dict()),
        task=exported.task,
        classes=exported.classes,
        answers=answers(exported, held, seed=context.seed),
        parameters=parameters_of(training) | dict(search.parameters),  # with the defaults that counted
        logged=tuple(data.logged),
    )


@step
def export(
    loop: str,
    ingest: Rows,
    describe: Statistics,
    validate: Validated,
    split: Parts,
    train: Trained,
    context: Context,
) -> Path:
    """The bundle, but for what only judging can add. What differs from the Python model does not become one."""
    inputs = Inputs.from_dict(list(map(dict, train.inputs)))
    content = train.graph.read_bytes()
    report = check_parity(content, inputs, train.task, train.classes, train.answers)
    print(f"parity: {report.rows:,} held-out and {report.edge_rows} edge rows, largest difference {report.worst:.1e}")
    folder = context.folder / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    schema = _answered(validate.schema, train.answers.refuses_missing)
    (folder / "schema.json").write_text(schema.to_json(), encoding="utf-8")
    (folder / "statistics.json").write_text(describe.to_json(), encoding="utf-8")
    bundle.write(
        folder,
        name=loop,
        inputs=inputs.columns,
        task=train.task,
        classes=train.classes,
        parity=asdict(report),
        lineage=_lineage(ingest, split, train, context),
    )
    return folder


@step
def evaluate(
    ingest: Rows,
    split: Parts,
    export: Path,
    slices: tuple[tuple[str, ...], ...],
    least_rows: int,
    context: Context,
) -> Evaluation:
    """Measure the bundle on the held-out rows: every metric, with intervals, overall and by slice."""
    held = _held(ingest, split, context, [name for columns in slices for name in columns])
    predictor = Predictor.from_folder(export, batches=True)
    found = scored(predictor, held, ingest.label, ingest.weight, split.split.key)
    return measure(
        _labels(found),
        found.predictions,
        task=found.task,
        weights=None if ingest.weight is None else found.weights,
        classes=found.classes or None,
        columns=held,
        slices=slices,
        least_rows=least_rows,
        groups=found.groups,
        seed=context.seed,
    )


@step(cache=False)
def champion(loop: str, export: Path, context: Context) -> str | None:
    """Digest of the version that this model has to beat: the champion; where that is this very model, whom it had to
    beat then. None for a loop's first."""
    try:
        current = context.stores.versions.get(loop, CHAMPION)
    except VersionNotFound:
        return None
    made = bundle.verify(export)
    is_this = all(current.files.get(name) == made.files[name].sha256 for name in ("model.onnx", "schema.json"))
    return current.lineage.get("champion") if is_this else current.digest


@step
def judge(
    loop: str,
    ingest: Rows,
    split: Parts,
    export: Path,
    evaluate: Evaluation,
    champion: str | None,
    judging: Judge,
    context: Context,
) -> Judged:
    """Hold the bundle against the gates, and beside the champion on the same rows."""
    refuse_other_task(judging, evaluate.task)
    comparison, incomparable = None, ""
    if champion is not None:
        try:
            comparison = _compared(loop, champion, ingest, split, export, context)
        except (DataError, VersionNotFound) as error:
            incomparable = error.what
    verdict = decide(evaluate, comparison, judging.gates, incomparable=incomparable)
    print(verdict)
    return Judged(verdict=verdict, comparison=comparison)


@step(cache=False)
def register(
    loop: str,
    export: Path,
    evaluate: Evaluation,
    champion: str | None,
    judge: Judged,
    judging: Judge,
    context: Context,
) -> Registered:
    """Complete the bundle and make it a version: accepted, or rejected, which ends the run so. The same bundle once."""
    version = _registered(export, evaluate, champion, judge, judging, context)
    if version.status is VersionStatus.REJECTED:
        raise Rejected(
            f"{version.name} was registered as rejected: {version.reason}\n  to do: look at it with lw why "
            f"{loop}:{version.number}; to release it all the same, lw promote {loop} {version.number} --override "
            '--because "..."'
        )
    print(f"{version.name} was registered; make it the champion: lw promote {loop} {version.number}")
    return Registered(loop=loop, number=version.number, digest=version.digest, accepted=True)


STANDARD = (ingest, describe, validate, split, search, train, export, evaluate, champion, judge, register)


def _part(ingest: Rows, split: Parts, context: Context, *wanted: int) -> pl.LazyFrame:
    """Features, label and weight of the rows of these parts, not read yet."""
    return split.only(ingest.labelled(context.tables, [*_columns(ingest), *split.columns]), *wanted)


def _columns(ingest: Rows) -> list[str]:
    return [*ingest.features, *([ingest.weight] if ingest.weight else [])]


def _data(ingest: Rows, rows: pl.LazyFrame, seed: int) -> TrainingData:
    return TrainingData(lambda: rows, ingest.features, label=ingest.label, weight=ingest.weight, seed=seed)


def _value(model: Any, data: TrainingData, rows: pl.DataFrame, ingest: Rows, metric: str) -> float:
    """Of the metric, on rows that the model was not trained on. Raises `DataError` where it is undefined."""
    found = said(model, data, rows)
    if Task(found.task) not in METRICS[metric].tasks:
        raise DeclarationError(
            f"{metric} is no metric of a {found.task} model, which train() returned",
            where="search=",
            fix="judge by another metric",
        )
    sample = sampled(found.task, found.classes, rows, found.scores, ingest.label, ingest.weight)
    value = float(values(sample, [metric])[0])
    if np.isnan(value):
        raise DataError(f"{metric} is undefined: {why_undefined(metric, sample)}")
    return value


def _held(ingest: Rows, split: Parts, context: Context, others: Iterable[str]) -> pl.DataFrame:
    """The held-out rows: features, label, weight, and what else is asked for and there."""
    wanted = [*_columns(ingest), *split.columns, *(name for name in others if name in ingest.version.columns)]
    return split.only(ingest.labelled(context.tables, wanted), HELD).collect()


def _compared(loop: str, champion: str, ingest: Rows, split: Parts, export: Path, context: Context) -> Comparison:
    """Both bundles on the same rows. Raises `DataError` where the champion cannot answer to them: a column it needs is
    gone, a label came that it does not know; and `VersionNotFound`."""
    version = context.stores.versions.get(loop, champion)
    bundles = [fetch(context.stores, version, context.folder), export]
    one, other = (Predictor.from_folder(each, batches=True) for each in bundles)
    told = version.lineage.get("split")
    known = Parts.from_dict(told).columns if told else ()
    held = _held(ingest, split, context, [*(column.name for column in one.inputs), *known])
    held = _unseen(version, held)
    group = split.split.key
    try:
        theirs = scored(one, held, ingest.label, ingest.weight, group)
    except DataError as error:
        raise DataError(f"{version.name}, the champion, cannot answer to these rows: {error.what}") from error
    return compare(theirs, scored(other, held, ingest.label, ingest.weight, group), seed=context.seed)


def _unseen(champion: Version, held: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that the champion was trained on: it would look better on them than it is."""
    told = champion.lineage.get("split")
    if not told or not set(Parts.from_dict(told).columns) <= set(held.columns):
        return held
    unseen = held.filter(Parts.from_dict(told).of(held) == HELD)
    if len(unseen) < len(held):
        print(f"{len(held) - len(unseen):,} of {len(held):,} held-out rows trained {champion.name}: not compared on")
    if len(unseen) == 0:
        raise DataError(
            f"{champion.name} was trained on every held-out row, so nothing can be compared with it",
            where="split=",
            fix="append newer rows, or go back to the split that it was made with",
        )
    return unseen


def _refuse_unknown(ingest: Rows, where: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in ingest.version.columns:
            raise DeclarationError(
                f"there is no column {name!r} in table {ingest.table.name!r}",
                where=where,
                fix=did_you_mean(name, ingest.version.columns),
            )


def _refuse_weights(ingest: Rows, context: Context) -> None:
    if ingest.weight is None:
        return
    weights = ingest.labelled(context.tables, [ingest.weight]).select(ingest.weight).collect().to_series()
    if not weights.dtype.is_numeric() or weights.null_count() or not bool((weights.cast(pl.Float64) >= 0).all()):
        missing = f", {weights.null_count()} of them missing" if weights.null_count() else ""
        raise DataError(
            f"weights must be numbers of 0 or more, and {ingest.weight!r} holds {weights.dtype}{missing}",
            where=f"column {ingest.weight!r}",
            fix="write the weight of every labelled row, or name another column: weight=",
        )


def _refuse_new_classes(labels: pl.Series, is_held: Any) -> None:
    """Of text or true and false: what stands only among the rows that judge cannot have been learned."""
    if labels.dtype not in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return
    new = set(labels.filter(is_held).unique().to_list()) - set(labels.filter(~is_held).unique().to_list())
    if new:
        raise DataError(
            f"the label {min(new, key=str)!r} stands only in rows that are held out",
            where=f"column {labels.name!r}",
            fix='append rows of it, or split otherwise: split=lw.Split("random")',
        )


def _refuse_unknown_parameters(training: Train, given: Mapping[str, Any]) -> None:
    known = parameters_of(training)
    for name in () if takes_any(training) else given:
        if name not in known:
            raise UsageError(f"train() has no parameter {name!r}", where="parameters", fix=did_you_mean(name, known))


def _labels(found: Sample) -> Any:
    """As `evaluate` takes them: of classes beyond two, the classes themselves."""
    if found.task is not Task.MULTICLASS:
        return found.labels
    return np.asarray([found.classes[int(place)] for place in found.labels], dtype=object)


def _answered(schema: Schema, refuses_missing: Sequence[str]) -> Schema:
    """Null only where the model answers to it, too."""
    columns = (replace(each, missing=each.missing and each.name not in refuses_missing) for each in schema.columns)
    return replace(schema, columns=tuple(columns))


def _lineage(ingest: Rows, split: Parts, train: Trained, context: Context) -> dict[str, Any]:
    """What led to the model: all that is needed to make it again."""
    run = context.stores.runs.get(context.run_id)
    version = ingest.version
    data = {
        "table": version.name,
        "version": version.version,
        "labels_version": version.labels_version,
        "digest": version.digest,
        "since": str(ingest.since) if ingest.since else None,
        "until": str(ingest.until) if ingest.until else None,
    }
    return {
        "run": run.id,
        "data": data,
        "code": run.lease.code if run.lease else None,
        "environment": run.lease.environment if run.lease else None,
        "git_commit": run.lease.git_commit if run.lease else None,
        "git_diff": run.lease.git_diff if run.lease else None,
        "seed": run.seed,
        "split": split.to_dict(),
        "parameters": as_json(train.parameters),
        "logged": [as_json(one) for one in train.logged[-100:]],
    }


def _registered(
    export: Path, evaluate: Evaluation, champion: str | None, judge: Judged, judging: Judge, context: Context
) -> Version:
    draft = bundle.verify(export)
    folder = Path(shutil.copytree(export, context.folder / "bundle"))
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    lineage = {**draft.lineage, "champion": champion}
    texts = {
        "evaluation.json": evaluate.to_json(),
        "verdict.json": judge.verdict.to_json(),
        "card.html": card(
            draft.name, judge.verdict, evaluate, judge.comparison, columns=schema["columns"], facts=_facts(lineage)
        ),
    }
    if judge.comparison is not None:
        texts["comparison.json"] = judge.comparison.to_json()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    sealed = bundle.write(
        folder,
        name=draft.name,
        inputs=draft.inputs,
        task=draft.task,
        classes=draft.classes,
        parity=draft.parity,
        lineage=lineage,
    )
    first = evaluate.metric(judging.metric)
    return registering(
        context.stores,
        folder,
        sealed,
        Cause(actor=context.actor, at=context.clock.now(), reason=judge.verdict.reason),
        status=VersionStatus.ACCEPTED if judge.verdict.accepted else VersionStatus.REJECTED,
        run_id=context.run_id,
        metric=judging.metric,
        value=first.value if first else None,
        reason=judge.verdict.reason,
    )


def _facts(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """For the card: without who made it, which would make equal cards differ."""
    aside = ("run", "code", "git_commit", "git_diff", "logged")
    return {name: value for name, value in lineage.items() if name not in aside and value is not None}
