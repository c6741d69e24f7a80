"""`lw labels`: add what came true, show what was told of a prediction, and how much of a loop is labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopwright.cli import text, words
from loopwright.errors import DataError, PredictionNotFound, SchemaMismatch, VersionNotFound, did_you_mean
from loopwright.system import System

if TYPE_CHECKING:
    from loopwright.predictions.labels import Label
    from loopwright.protocols.label_bodies import Contract, Told
    from loopwright.protocols.labelling import Accepted, Labelling

_AT_ONCE = 20_000
"""Labels that are taken together, all or none."""
_ID = "prediction_id"


@words.root.group("labels", cls=words.Words, epilog="\b\nExample:\n  lw labels coverage flights")
def labels() -> None:
    """Work with what came true: labels of predictions, and numbers beside them."""


@words.command(labels, "add", example="lw labels add landed.csv --loop flights --label late")
@click.argument("file")
@click.option("--loop", required=True, metavar="LOOP", help="Whose predictions they are of.")
@click.option(
    "--by",
    type=click.Choice(["id", "key"]),
    help="Find predictions by the column prediction_id, or by the table's key [default: by id where there is one].",
)
@click.option("--label", "column", default="label", show_default=True, metavar="COLUMN", help="What came true.")
@click.option("--outcome", metavar="NAME", help="It is a number beside the label, such as revenue.")
@click.option("--at", "moment", metavar="COLUMN", help="When it became true, where a column says so.")
@click.option("--origin", default="lw labels add", show_default=True, metavar="TEXT", help="Where they come from.")
def add(
    file: str,
    loop: str,
    by: str | None,
    column: str,
    outcome: str | None,
    moment: str | None,
    origin: str,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Add the labels in FILE (CSV, JSON lines, Parquet, Delta). The same file again changes nothing that counts."""
    from loopwright.predictions import aside
    from loopwright.predictions import labels as told_labels
    from loopwright.predictions.journal import Journal

    with words.opened(project, flags) as opened:
        contracts = _contracts(opened, loop)
        rows = _rows(file, contracts[loop], by, {"label": column, **({"at": moment} if moment else {})})
        writing = [Journal(opened.workspace / one, opened.clock) for one in (told_labels.FOLDER, aside.FOLDER)]
        try:
            done = _added(_labelling(opened, contracts, *writing), rows, loop, outcome, origin, file)
        finally:
            for one in writing:
                one.close()
    _tell(done, loop, as_json=as_json)


@words.command(labels, "show", example="lw labels show 01KE7Z3W1C9N7V0QWJ4S8YH2TX.0")
@click.argument("prediction")
def show(prediction: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show all that was told of a PREDICTION, by its id or its key, and what of that counts."""
    with words.opened(project, flags) as opened:
        told, of = _history(opened, prediction)
    counting = {_place(newest) for name in {one.outcome for one in told} if (newest := _newest(told, name))}
    if as_json:
        import msgspec

        words.print_json([msgspec.to_builtins(one) | {"counts": _place(one) in counting} for one in told])
    elif not told:
        click.echo(f"nothing was told of {of} yet")
    else:
        header = ["TOLD (UTC)", "TRUE (UTC)", "OUTCOME", "LABEL", "BY", "ORIGIN", "COUNTS"]
        rows = [_label_row(one, counts=_place(one) in counting) for one in told]
        click.echo(text.columns(rows, header))


@words.command(labels, "coverage", example="lw labels coverage flights --within 14d")
@click.argument("loop")
@click.option("--within", metavar="LENGTH", help="What has no label after this long is missing: 6h, 14d.")
@click.option("--outcome", metavar="NAME", help="Of a number beside the label, such as revenue.")
def coverage(
    loop: str,
    within: str | None,
    outcome: str | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show how many predictions of LOOP have their label, wait for it, or miss it, by version and arm."""
    from loopwright.core.duration import duration

    length = None if within is None else duration(within, "--within")
    with words.opened(project, flags) as opened:
        found, unknown = _coverage(opened, loop, length, outcome)
    if as_json:
        words.print_json({"coverage": found, "unknown": unknown})
        return
    if not found:
        click.echo(f"{loop} predicted nothing yet; serve it: lw serve")
    else:
        header = ["VERSION", "ARM", "PREDICTIONS", "LABELLED", "WAITING", "MISSING", "SHARE"]
        click.echo(text.columns([_coverage_row(one) for one in found], header))
    if unknown:
        click.echo(f"{text.counted(unknown, 'label')} of predictions that are not there: kept until they are")


def _history(opened: System, prediction: str) -> tuple[list[Label], str]:
    """What was told, and of what. Raises `PredictionNotFound` where nothing was, for it is not there."""
    import msgspec

    from loopwright.predictions import aside, finding, journal
    from loopwright.predictions import labels as told_labels

    try:
        line = finding.find(opened.workspace, prediction)
    except PredictionNotFound:
        kept = aside.waiting(opened.workspace).get(prediction, [])
        early = [msgspec.json.decode(one, type=told_labels.Label) for one in kept]
        for loop in journal.loops(opened.workspace / told_labels.FOLDER):
            early += told_labels.history(opened.workspace, loop, prediction, None)
        if not early:
            raise
        once = [one for number, one in enumerate(early) if one not in early[:number]]  # each loop's have those aside
        return once, f"{prediction}, which nobody predicted yet,"
    told = told_labels.history(opened.workspace, line["loop"], line["id"], line.get("key"))
    return told, f"{line['id']} of {line['loop']}"


def _coverage(
    opened: System, loop: str, within: timedelta | None, outcome: str | None
) -> tuple[list[dict[str, Any]], int]:
    """By version and arm, and how many labels are kept for predictions that are not there, of this loop or of none."""
    from loopwright.predictions import finding, joining, journal
    from loopwright.predictions import labels as told_labels

    if loop not in journal.loops(opened.workspace / journal.FOLDER):
        opened.stores.versions.get(loop, "newest")  # which refuses a loop that is not there
    joined = joining.joined(opened.workspace, loop, known_at=opened.clock.now(), within=within, outcome=outcome)
    early = Counter(one.prediction_id for one in told_labels.told(opened.workspace, loop) if one.prediction_id)
    known = finding.known(opened.workspace, early)
    unknown = sum(count for prediction, count in early.items() if prediction not in known)
    return joining.coverage(joined).to_dicts(), unknown


def _contracts(opened: System, loop: str) -> Mapping[str, Contract]:
    """What the newest version says of labels. Raises `VersionNotFound`."""
    from loopwright.data.schema import Schema
    from loopwright.protocols.label_bodies import Contract
    from loopwright.transform.manifest import MANIFEST, Manifest

    version = opened.stores.versions.get(loop, "newest")
    manifest = Manifest.from_json(opened.stores.blobs.read(version.files[MANIFEST]).decode())
    schema = Schema.from_json(opened.stores.blobs.read(version.files["schema.json"]).decode())
    found = Contract(version=version.number, classes=manifest.classes, key=schema.key, time=schema.time)
    return {loop: found}


def _labelling(opened: System, contracts: Mapping[str, Contract], journal: Any, aside: Any) -> Labelling:
    from loopwright.data.schema import Schema
    from loopwright.predictions.concealing import Concealer, secret_of
    from loopwright.protocols.labelling import Labelling

    def concealer(loop: str, number: int) -> Concealer | None:
        try:
            version = opened.stores.versions.get(loop, str(number))
        except VersionNotFound:
            return None
        schema = Schema.from_json(opened.stores.blobs.read(version.files["schema.json"]).decode())
        mode: Any = opened.settings.text("pii")
        found = Concealer(schema, mode, b"")
        return Concealer(schema, mode, secret_of(opened.workspace)) if found.columns else found

    return Labelling(
        workspace=opened.workspace,
        journal=journal,
        aside=aside,
        clock=opened.clock,
        contracts=lambda: contracts,
        concealer=concealer,
    )


def _rows(file: str, contract: Contract, by: str | None, named: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of the file under the names that labels have. Text is read as text: what it stands for is seen later."""
    import pyarrow as pa

    from loopwright.data import files
    from loopwright.data.source import open_source

    wanted = [_ID, *contract.key, *([contract.time] if contract.time else []), *named.values()]
    texts = pa.schema([(name, pa.string()) for name in dict.fromkeys(wanted)])
    source = open_source(file, texts if any(one.kind == "csv" for one in files.find(file)) else None)
    there = source.schema.names
    is_by_id = by == "id" or (by is None and _ID in there)
    keys = [] if is_by_id else [*contract.key, *([contract.time] if contract.time in there else [])]
    needed = [*([_ID] if is_by_id else contract.key), *named.values()]
    for name in needed:
        if name not in there:
            raise SchemaMismatch(f"there is no column {name!r}", where=source.name, fix=did_you_mean(name, there))
    if not is_by_id and not contract.key:
        raise SchemaMismatch(
            f"there is no column {_ID!r}, and the table has no key", where=source.name, fix=f"add a column {_ID}"
        )
    columns = {f"key.{name}": name for name in dict.fromkeys(keys)} | dict(named) | ({_ID: _ID} if is_by_id else {})
    for batch in source.batches():
        for row in batch.to_pylist():
            yield {name: row[column] for name, column in columns.items()}


def _added(
    labelling: Labelling,
    rows: Iterator[dict[str, Any]],
    loop: str,
    outcome: str | None,
    origin: str,
    file: str,
) -> Accepted:
    """Rows without a label yet are passed by. Raises `DataError` for what is none; what came before it is in."""
    from loopwright.gateway.refused import Refused
    from loopwright.protocols.label_bodies import Body
    from loopwright.protocols.labelling import Accepted

    beside = {"loop": loop} | ({"outcome": outcome} if outcome else {})
    done, first = Accepted(0, 0, 0), 0
    labelled = (row for row in rows if row["label"] not in (None, "") and row["label"] == row["label"])
    while some := list(islice(labelled, _AT_ONCE)):
        try:
            body = Body(labels=[_label(row, beside, first + i + 1) for i, row in enumerate(some)], origin=origin)
            taken = labelling.take(body, lambda _: None, is_text=True)
        except (Refused, ValueError) as error:
            before = f"the {first:,} before it are taken, and again are no harm; " if first else ""
            raise DataError(_words(error, first), where=file, fix=f"{before}see: lw labels add --help") from None
        done = Accepted(done.accepted + taken.accepted, done.unknown + taken.unknown, done.unmatched + taken.unmatched)
        first += len(some)
    return done


def _label(row: Mapping[str, Any], beside: Mapping[str, str], number: int) -> Told:
    from loopwright.protocols.label_bodies import told

    try:
        return told(row, beside)
    except ValueError as error:
        if "RFC3339" in str(error):
            text_of = f"{row['at']!r}, no moment such as 2026-11-21T09:30:00Z"
            raise ValueError(f"label {number:,} of the file: at is {text_of}") from None
        raise ValueError(f"label {number:,} of the file: {error}") from None


def _words(error: Exception, first: int) -> str:
    from loopwright.gateway.refused import Refused

    if not isinstance(error, Refused) or not error.problems:
        return str(error)
    one = error.problems[0]
    if one.column is None:
        return f"label {first + one.row + 1:,} of the file needs {one.expected}"
    return f"label {first + one.row + 1:,} of the file: {one.column} is {one.value!r}, not {one.expected}"


def _tell(done: Accepted, loop: str, *, as_json: bool) -> None:
    if as_json:
        words.print_json({"accepted": done.accepted, "unknown": done.unknown, "unmatched": done.unmatched})
        return
    unknown = f"; {done.unknown:,} kept aside, for predictions that are not there yet" if done.unknown else ""
    unmatched = f"; {done.unmatched:,} by keys that were not predicted on yet" if done.unmatched else ""
    click.echo(f"{loop}: {text.counted(done.accepted, 'label')} taken{unknown}{unmatched}")


def _newest(told: Sequence[Label], outcome: str | None) -> Label | None:
    of = [one for one in told if one.outcome == outcome]
    return max(reversed(of), key=lambda one: (one.since, one.at), default=None)


def _place(label: Label) -> tuple[Any, ...]:
    return label.outcome, label.since, label.at, label.prediction_id, str(label.key), str(label.label)


def _label_row(one: Label, *, counts: bool) -> list[str]:
    by = "id" if one.key is None else ", ".join(f"{name}={value}" for name, value in one.key.items())
    name = one.outcome or "label"
    true_at = text.moment(one.true_at) or "when told"
    return [text.moment(one.at), true_at, name, str(one.label), by, one.origin, "yes" if counts else ""]


def _coverage_row(one: Mapping[str, Any]) -> list[str]:
    counts = [f"{one[name]:,}" for name in ("predictions", "labelled", "waiting", "missing")]
    return [f"v{one['version']}", one["arm"], *counts, f"{one['share']:.3f}"]
