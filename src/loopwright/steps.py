"""THE SPINE: what a loop does, step by step, in the order the data flows. Each step is thin and may be replaced.

    ingest ─► describe ─► validate ─┬─► select ─► split ─► search ─► train ─► export ─► evaluate ─┐
                                    │                                    champion ────────────────┴─► judge ─► register
                                    └─► drift ───────────────────────────────────────────────────────────────────┘

`previous` gives `search` and `train` what they start from. Steps that look at the world (what rows there are, who is
champion) run every time; all others are functions of what these found, so that nothing finished is done again. From
`select` on, everything reads the rows that `validate` let through; from `export` on, everything runs the bundle, never
the Python model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from loopwright.core.event import Cause
from loopwright.core.version import CHAMPION, VersionStatus
from loopwright.data import schema_file
from loopwright.data.against import Drifted, look_back
from loopwright.data.against import Trained as TrainedBefore
from loopwright.data.bring import bring
from loopwright.data.declare import Validate
from loopwright.data.described import Described, described
from loopwright.data.rows import Rows, pin
from loopwright.data.schema import Schema
from loopwright.data.statistics import Statistics
from loopwright.data.table import Table
from loopwright.data.validated import Validated, refuse, validated
from loopwright.errors import DataError, DeclarationError, UsageError, VersionNotFound, did_you_mean
from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.declare import Judge
from loopwright.judge.evaluate import evaluate as measure
from loopwright.judge.evaluation import Comparison, Evaluation
from loopwright.judge.importance import importances
from loopwright.judge.metrics import values, why_undefined
from loopwright.judge.sample import Sample
from loopwright.judge.scored import refuse_other_task, sampled, scored
from loopwright.judge.verdict import Verdict
from loopwright.judge.verdict import judge as decide
from loopwright.pipeline.context import Context
from loopwright.pipeline.keys import as_json
from loopwright.pipeline.step import Rejected, step
from loopwright.predictions.bringing import arrive
from loopwright.registry import evidence
from loopwright.registry.beside import beside
from loopwright.registry.complete import complete
from loopwright.registry.fetch import fetch
from loopwright.train import overlap, parts, trials
from loopwright.train.data import TrainingData
from loopwright.train.fitted import said
from loopwright.train.parameters import parameters_of, takes_any
from loopwright.train.parts import HELD, TRAIN, VALIDATION, Parts
from loopwright.train.pinned import held as held_out
from loopwright.train.pinned import part, training_data
from loopwright.train.previous import Previous
from loopwright.train.search import Search
from loopwright.train.split import Split
from loopwright.train.trials import Searched
from loopwright.transform import bundle
from loopwright.transform.inputs import Inputs
from loopwright.transform.parity import Answers, answers, check_parity
from loopwright.transform.predictor import Predictor

Train = Callable[..., Any]
_MOST_CHANGES = 100
"""Of a schema, as an event tells them."""


SCRATCH, FINE_TUNE = "scratch", "fine_tune"
STARTS = (SCRATCH, "parameters", FINE_TUNE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What training starts from, of the champion; from scratch nothing."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    """Its digest, where training goes on from the model itself."""


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
    previous: str | None = None
    """Digest of the version that training went on from."""


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
    loop: str,
    table: Table,
    source: Any,
    weight: str | None,
    since: date | None,
    until: date | None,
    context: Context,
) -> Rows:
    """Bring in what is new, also labels that came over the gateway, and pin the state of the table that everything
    after stands on."""
    if source is not None:
        print(bring(context.tables, table, source).told(table.name))
    if context.workspace is not None:
        arrived = arrive(context.tables, table, context.workspace, loop).told(table.name)
        print(arrived, end="\n" if arrived else "")
    rows = pin(context.tables, table, weight=weight, since=since, until=until)
    print(f"{table.name} version {rows.version.version}: {rows.version.rows:,} rows")
    return rows


@step
def describe(ingest: Rows, span: timedelta, context: Context) -> Described:
    """The statistics of what a model may see, of label, key, time and weight: all rows, and the last two spans."""
    return described(ingest, context.tables, span)


@step
def validate(
    ingest: Rows,
    describe: Described,
    validating: Validate,
    schema: Path | None,
    trust: Sequence[str],
    slices: tuple[tuple[str, ...], ...],
    context: Context,
) -> Validated:
    """Stop at errors: rows unlike the schema, or that nothing can be learned from; columns that give the label away.
    Rows that fail are set aside where the loop says so."""
    ingest.refuse_unknown("trust=", trust)
    ingest.refuse_unknown("slices of the judge", [name for columns in slices for name in columns])
    given = None if schema is None else schema_file.read(schema)
    found = validated(
        describe, ingest, context.tables, validating, given, trust=trust, seed=context.seed, folder=context.folder
    )
    for finding in found.findings:
        print(finding)
    print("\n".join(evidence.validation(found.to_dict() | {"findings": ()})))
    refuse(found.findings, ingest, validating)
    return found


@step(cache=False)
def drift(loop: str, describe: Described, validate: Validated, validating: Validate, context: Context) -> Drifted:
    """What moved since the span before, and since the champion was trained: told, and an event; no reason to stop but
    where the schema says so."""
    rows, now = validate.rows, validate.described or describe
    trained = _trained_before(loop, context)
    is_declared = validate.declared is not None
    found = look_back(now, validate.schema, rows.table, rows.features, trained, is_declared=is_declared)
    print(found)
    _tell(found, loop, rows, context)
    refuse(found.findings, rows, validating)
    return found


@step
def select(validate: Validated) -> Rows:
    """The rows that every later step reads. While they stay the same, a schema that changes trains nothing anew."""
    return validate.rows


@step
def split(
    select: Rows,
    splitting: Split,
    validating: Validate,
    schema: Path | None,
    context: Context,
) -> Parts:
    """Which rows train, and which are held out to judge; those without a label are left out and counted. No row may do
    both."""
    table = select.table
    select.refuse_unknown("split=", splitting.key)
    columns = [table.time] if splitting.by == "time" and table.time else splitting.key or table.key or select.features
    labelled = overlap.labelled(select, context.tables, splitting, columns)
    unlabelled = select.unlabelled(context.tables)
    settled = parts.carry_out(
        splitting, labelled.select(columns), time=table.time, key=table.key, unlabelled_rows=unlabelled
    )
    _refuse_new_classes(labelled[select.label], settled.of(labelled.select(columns)) == HELD)
    print(f"{settled.train_rows:,} rows train, {settled.held_rows:,} are held out, {unlabelled:,} have no label")
    both = overlap.overlap(select, labelled, settled, None if schema is None else schema_file.read(schema))
    for finding in both:
        print(finding)
    refuse(both, select, validating)
    return settled


@step(cache=False)
def previous(loop: str, start: str, context: Context) -> Before:
    """What training starts from: nothing, from scratch; else of the champion what that needs, and no more, so that a
    new champion makes nothing be done again that does not start from it."""
    if start not in STARTS:
        raise UsageError(f"start={start!r} is no start", where="parameters", fix=did_you_mean(start, STARTS))
    if start == SCRATCH:
        return Before()
    try:
        version = context.stores.versions.get(loop, CHAMPION)
    except VersionNotFound:
        print("there is no champion to start from: from scratch")
        return Before()
    told = version.lineage.get("parameters")
    digest = version.digest if start == FINE_TUNE else None
    print(f"from {version.name}" if digest else f"with the parameters of {version.name}")
    return Before(parameters=dict(told) if isinstance(told, Mapping) else {}, version=digest)


@step
def search(
    select: Rows,
    split: Parts,
    previous: Before,
    training: Train,
    searching: Search | None,
    metric: str,
    parameters: dict[str, Any],
    context: Context,
) -> Searched:
    """The parameters to train with: as given, and the best that the search found, or those that the champion has."""
    _refuse_unknown_parameters(training, parameters)
    kept = _kept(previous, training, searching)
    if kept:
        print(f"as the champion has them, nothing is searched: {kept}")
        return Searched(parameters={**kept, **parameters})
    if searching is None:
        return Searched(parameters=parameters)
    if split.validation_rows == 0:
        raise DataError(
            "the split leaves no rows to compare trials on", where="search=", fix="append more labelled rows"
        )
    fitted = part(select, context.tables, split, TRAIN)
    compared = part(select, context.tables, split, VALIDATION).collect()

    def value(tried: Mapping[str, Any]) -> float:
        data = training_data(select, fitted, context.seed)
        model = training(data, **{**parameters, **tried})
        return _value(model, data, compared, select, metric)

    bigger_is_better = METRICS[metric].bigger_is_better
    found = trials.carry_out(
        searching, value, bigger_is_better=bigger_is_better, seed=context.seed, clock=context.clock
    )
    for trial in found.trials:
        value_told = f"{metric} {trial.value:.4f}" if trial.value is not None else f"failed: {trial.error}"
        print(f"{value_told}  {dict(trial.parameters)}")
    return replace(found, parameters={**parameters, **found.parameters})


@step
def train(
    loop: str, select: Rows, split: Parts, search: Searched, previous: Before, training: Train, context: Context
) -> Trained:
    """Call the loop's `train()`, make the graph of what it returns, and keep what Python says of held-out rows."""
    from loopwright.transform.export import export as to_graph  # the converters: not where all is reused

    before = _earlier(loop, previous, context)
    data = training_data(select, part(select, context.tables, split, TRAIN, VALIDATION), context.seed, before)
    model = training(data, **search.parameters)
    if hasattr(model, "fit"):  # checked on all its rows, and fitted again where rounding would show
        weights: dict[str, Any] = {} if data.weights is None else {"sample_weight": data.weights}
        exported = to_graph(model, data.raw.select(select.features), data.y, **weights)
    else:  # a network or a graph is taken as it is: its rows tell the types
        exported = to_graph(model, data.head(1000).select(select.features), data.y)
    held = part(select, context.tables, split, HELD).select(select.features).collect()
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
        previous=previous.version,
    )


@step
def export(
    loop: str,
    describe: Described,
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
    (folder / "statistics.json").write_text(_statistics(describe, validate).to_json(), encoding="utf-8")
    bundle.write(
        folder,
        name=loop,
        inputs=inputs.columns,
        task=train.task,
        classes=train.classes,
        parity=asdict(report),
        lineage=_lineage(validate, split, train, context),
    )
    return folder


@step
def evaluate(
    select: Rows,
    split: Parts,
    export: Path,
    slices: tuple[tuple[str, ...], ...],
    least_rows: int,
    metric: str,
    context: Context,
) -> Evaluation:
    """Measure the bundle on the held-out rows: every metric, with intervals, overall and by slice; and how much of the
    metric each input is worth."""
    held = held_out(select, context.tables, split, [name for columns in slices for name in columns])
    predictor = Predictor.from_folder(export, batches=True)
    found = scored(predictor, held, select.label, select.weight, split.split.key)
    measured = measure(
        _labels(found),
        found.predictions,
        task=found.task,
        weights=None if select.weight is None else found.weights,
        classes=found.classes or None,
        columns=held,
        slices=slices,
        least_rows=least_rows,
        groups=found.groups,
        seed=context.seed,
    )
    worth = importances(predictor, held, metric, label=select.label, weight=select.weight, seed=context.seed)
    return replace(measured, importance=worth)


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
    select: Rows,
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
            version = context.stores.versions.get(loop, champion)
            comparison = beside(version, select, split, export, context)
            if (left_out := split.held_rows - comparison.rows) > 0:
                print(f"{left_out:,} of {split.held_rows:,} held-out rows trained {version.name}: not compared on")
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
    drift: Drifted,  # noqa: ARG001 - nothing is registered before it is known what moved
    judging: Judge,
    context: Context,
) -> Registered:
    """Complete the bundle and make it a version: accepted, or rejected, which ends the run so. The same bundle once."""
    version = complete(export, evaluate, champion, judge.verdict, judge.comparison, judging, context)
    if version.status is VersionStatus.REJECTED:
        raise Rejected(
            f"{version.name} was registered as rejected: {version.reason}\n  to do: look at it with lw why "
            f"{loop}:{version.number}; to release it all the same, lw promote {loop} {version.number} --override "
            '--because "..."'
        )
    print(f"{version.name} was registered; make it the champion: lw promote {loop} {version.number}")
    return Registered(loop=loop, number=version.number, digest=version.digest, accepted=True)


STANDARD = (
    ingest,
    describe,
    validate,
    drift,
    select,
    split,
    previous,
    search,
    train,
    export,
    evaluate,
    champion,
    judge,
    register,
)


def _value(model: Any, data: TrainingData, compared: pl.DataFrame, rows: Rows, metric: str) -> float:
    """Of the metric, on rows that the model was not trained on. Raises `DataError` where it is undefined."""
    found = said(model, data, compared)
    if Task(found.task) not in METRICS[metric].tasks:
        raise DeclarationError(
            f"{metric} is no metric of a {found.task} model, which train() returned",
            where="search=",
            fix="judge by another metric",
        )
    sample = sampled(found.task, found.classes, compared, found.scores, rows.label, rows.weight)
    value = float(values(sample, [metric])[0])
    if np.isnan(value):
        raise DataError(f"{metric} is undefined: {why_undefined(metric, sample)}")
    return value


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


def _kept(before: Before, training: Train, searching: Search | None) -> dict[str, Any]:
    """Of the champion's parameters those that hold: all where training goes on from it, else what would be searched,
    unless it has not all of that."""
    known = before.parameters
    if before.version is not None:
        taken = known if takes_any(training) else parameters_of(training)
        return {name: known[name] for name in taken if name in known}
    names = [] if searching is None else list(searching.space)
    return {name: known[name] for name in names} if all(name in known for name in names) else {}


def _earlier(loop: str, before: Before, context: Context) -> Previous | None:
    if before.version is None:
        return None
    version = context.stores.versions.get(loop, before.version)
    return Previous(folder=fetch(context.stores, version, context.folder), parameters=before.parameters)


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


def _statistics(describe: Described, validate: Validated) -> Statistics:
    """Of the rows that were let through: features and label."""
    found = validate.described or describe
    return Statistics.of(found.rows.profile().only([*validate.rows.features, validate.rows.label]))


def _lineage(validate: Validated, split: Parts, train: Trained, context: Context) -> dict[str, Any]:
    """What led to the model: all that is needed to make it again."""
    run = context.stores.runs.get(context.run_id)
    rows, version = validate.rows, validate.rows.version
    data = {
        "table": version.name,
        "version": version.version,
        "labels_version": version.labels_version,
        "digest": version.digest,
        "since": str(rows.since) if rows.since else None,
        "until": str(rows.until) if rows.until else None,
    }
    deployed = {} if context.deployment is None else {"deployment": context.deployment}
    return {
        "run": run.id,
        **deployed,
        **({} if train.previous is None else {"previous": train.previous}),
        "data": data,
        "validation": validate.to_dict(),
        "code": run.lease.code if run.lease else None,
        "environment": run.lease.environment if run.lease else None,
        "git_commit": run.lease.git_commit if run.lease else None,
        "git_diff": run.lease.git_diff if run.lease else None,
        "seed": run.seed,
        "split": split.to_dict(),
        "parameters": as_json(train.parameters),
        "logged": [as_json(one) for one in train.logged[-100:]],
    }


def _trained_before(loop: str, context: Context) -> TrainedBefore | None:
    """The champion, as later rows are held against it; None where there is none, or its bundle has no statistics."""
    try:
        version = context.stores.versions.get(loop, CHAMPION)
    except VersionNotFound:
        return None
    if "statistics.json" not in version.files:
        return None
    statistics, schema = (context.stores.blobs.read(version.files[f"{name}.json"]) for name in ("statistics", "schema"))
    try:
        profile = Statistics.from_json(statistics.decode()).profile()
        return TrainedBefore(name=version.name, profile=profile, schema=Schema.from_json(schema.decode()))
    except DataError as error:  # written by another Loopwright
        print(f"nothing is compared with {version.name}: {error.what}")
        return None


def _tell(found: Drifted, loop: str, rows: Rows, context: Context) -> None:
    """As events of the loop, which triggers and people read."""
    cause = Cause(actor=context.actor, at=context.clock.now(), reason=f"run {context.run_id}")
    subject, events = f"loop:{loop}", context.stores.events
    if found.changes:
        events.add(
            "SchemaChanged", subject, cause, {"champion": found.champion, "changes": found.changes[:_MOST_CHANGES]}
        )
    if any(found.columns.values()):
        told = {"champion": found.champion, "table_version": rows.version.version, **found.columns}
        events.add("DriftFound", subject, cause, told)
