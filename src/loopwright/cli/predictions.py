"""`lw predictions`: show, compact, erase."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopwright.cli import text, words
from loopwright.errors import MissingExtra, NotFound, StoreError, StoreUnavailable
from loopwright.system import System

if TYPE_CHECKING:
    from loopwright.data.schema import Schema
    from loopwright.predictions.compaction import Compacted
    from loopwright.predictions.journal import Line
    from loopwright.predictions.labels import Label
    from loopwright.predictions.layout import Kinds

_logger = logging.getLogger(__name__)


class _Loops(words.Words):
    """What is no command here is the loop to show."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@words.root.group("predictions", cls=_Loops, epilog="\b\nExample:\n  lw predictions flights --limit 5")
def predictions() -> None:
    """Work with what was predicted; with the name of a loop: show its newest predictions."""


@words.command(predictions, "show", example="lw predictions flights --limit 5")
@click.argument("loop")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
def show(loop: str, limit: int, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show the newest predictions of LOOP, and what came true where it is known."""
    from loopwright.predictions import reading

    opened = words.opened(project, flags)
    found = reading.newest(opened.workspace, loop, limit)
    if not found:
        opened.stores.versions.get(loop, "newest")  # which refuses a loop that is not there
    if as_json:
        words.print_json([_prediction_json(line, label) for line, label in found])
    elif not found:
        click.echo(f"{loop} predicted nothing yet; serve it: lw serve")
    else:
        header = ["ID", "MADE (UTC)", "VERSION", "ARM", "PREDICTED", "LABEL"]
        click.echo(text.columns([_prediction_row(line, label) for line, label in found], header))


@words.command(predictions, "compact", example="lw predictions compact flights")
@click.argument("loop", required=False)
@click.option("--every", type=click.FloatRange(0.05), metavar="SECONDS", help="Again and again, as a gateway has it.")
@click.option("--lifeline", is_flag=True, help="End when the input does; for a gateway.")
def compact(
    loop: str | None,
    every: float | None,
    lifeline: bool,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Turn closed journal files into the Delta table of LOOP, or of all, and drop the days that are too old."""
    with words.opened(project, flags) as opened:
        if every is None:
            done, failed = _compacted(opened, loop)
            if not (failed and as_json):  # one document
                _tell(done, as_json=as_json)
            _raise_first(failed)
            return
        os.nice(10)
        _compact_on(opened, loop, every, lifeline=lifeline)


@words.command(predictions, "erase", example="lw predictions erase flights --key flight_id=7")
@click.argument("loop")
@click.option("--key", "keys", multiple=True, required=True, metavar="COLUMN=VALUE", help="May be repeated: all hold.")
def erase(loop: str, keys: tuple[str, ...], project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Erase what LOOP predicted for a key, and its labels: from journals, table and disk. There is no way back."""
    with words.opened(project, flags) as opened:
        try:
            from loopwright.predictions import erasing
        except ModuleNotFoundError as error:
            raise _missing(error) from None
        _refuse_unknown(opened, loop)
        key = words.pairs(keys, "--key")
        kinds, declared = _kinds(opened, loop), _key_columns(opened, loop)
        done = erasing.erase(opened.workspace, loop, key, kinds=kinds, clock=opened.clock, declared=declared)
        told = {"columns": sorted(key), "predictions": done.predictions, "labels": done.labels}
        moment = {**told, "at": opened.clock.now().isoformat()}  # else a second one like it would not be told
        opened.stores.events.add("PredictionsErased", f"loop:{loop}", opened.cause(), moment)
    if as_json:
        words.print_json(told)
    elif not done.predictions + done.labels:
        click.echo(f"nothing of {loop} was found for {' and '.join(keys)}, so nothing was erased")
    else:
        gone = f"{text.counted(done.predictions, 'prediction')} and {text.counted(done.labels, 'label')}"
        click.echo(f"{gone} of {loop} are erased")


def _compact_on(opened: System, loop: str | None, seconds: float, *, lifeline: bool) -> None:
    """Until it is told to stop. What goes wrong is told once, and tried again."""
    from loopwright.predictions import background

    before = set[str]()
    while True:
        try:
            _, failed = _compacted(opened, loop)
        except StoreError as error:
            failed = {"": error}
        for one in failed.values():
            if one.what not in before:
                words.tell(one, as_json=False)
        before = {one.what for one in failed.values()}
        if background.is_over(seconds, lifeline=lifeline):
            return


def _compacted(opened: System, loop: str | None) -> tuple[dict[str, Compacted], dict[str, StoreError]]:
    """What became of each loop. One that fails stops no other."""
    from loopwright.predictions import failures, journal

    root, days = opened.workspace / journal.FOLDER, opened.settings.integer("predictions_days")
    if loop is not None:
        _refuse_unknown(opened, loop)
    failures.drop_old(opened.workspace, _first_day(opened, days or failures.KEPT_DAYS))
    names = journal.loops(root) if loop is None else [loop]
    try:
        from loopwright.predictions import compaction  # noqa: F401 - whether it is here
    except ModuleNotFoundError as error:
        _drop_files(opened, names, days)
        raise _missing(error) from None
    found = {name: _compacted_one(opened, root, name, days) for name in names}
    return (
        {name: one for name, one in found.items() if not isinstance(one, StoreError)},
        {name: one for name, one in found.items() if isinstance(one, StoreError)},
    )


def _compacted_one(opened: System, root: Path, loop: str, days: int) -> Compacted | StoreError:
    """Events tell of what was set aside, and of what fails, once; none holds a value."""
    from loopwright.predictions import compaction

    try:
        done = compaction.compact(root, loop, kinds=_kinds(opened, loop), clock=opened.clock, days=days)
        if done.aside:
            opened.stores.events.add("JournalSetAside", f"loop:{loop}", opened.cause(), {"files": list(done.aside)})
    except StoreError as error:
        if error.__cause__ is not None:  # else another process is at it
            _note_failure(opened, loop, error.__cause__)
        return error
    except Exception as error:  # of one loop: it must not keep the others from their tables
        _logger.exception("the journal of %s cannot be made part of its table", loop)
        _note_failure(opened, loop, error)
        what = f"the journal of {loop} cannot be made part of its table: {error}"
        return StoreUnavailable(what, where=str(root / loop), fix="what was predicted is in the journal still")
    return done


def _note_failure(opened: System, loop: str, error: BaseException) -> None:
    """As an event; of two that say the same, the store keeps one."""
    with suppress(StoreError):
        told = {"error": type(error).__name__}
        opened.stores.events.add("CompactionFailed", f"loop:{loop}", opened.cause(), told)


def _raise_first(failed: dict[str, StoreError]) -> None:
    *others, first = reversed(failed.values()) if failed else [None]
    for error in others:
        if error is not None:
            words.tell(error, as_json=False)
    if first is not None:
        raise first


def _drop_files(opened: System, names: list[str], days: int) -> None:
    """Where journals stay journals, old ones go as they are."""
    from loopwright.predictions import journal

    for name in names if days else []:
        journal.drop_old(opened.workspace / journal.FOLDER, name, _first_day(opened, days))


def _first_day(opened: System, days: int) -> datetime:
    """The beginning of the first day that is kept."""
    return datetime.combine(opened.clock.now().astimezone(UTC).date() - timedelta(days=days), datetime.min.time(), UTC)


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(
        f"predictions stay in journals here: tables need {error.name}, which is not installed",
        fix="pip install loopwright, in place of loopwright-gateway",
    )


def _refuse_unknown(opened: System, loop: str) -> None:
    from loopwright.predictions import journal

    if loop not in journal.loops(opened.workspace / journal.FOLDER):
        opened.stores.versions.get(loop, "newest")  # which refuses a loop that is not there


def _tell(done: dict[str, Compacted], *, as_json: bool) -> None:
    if as_json:
        words.print_json({name: _compacted_json(one) for name, one in done.items()})
    for name, one in ({} if as_json else done).items():
        dropped = f"; dropped {', '.join(one.dropped_days)}" if one.dropped_days else ""
        torn = f"; left out {text.counted(one.torn, 'torn line')}" if one.torn else ""
        aside = f"; set aside, for they cannot be read: {', '.join(one.aside)}" if one.aside else ""
        told = f"{text.counted(one.rows, 'prediction')} from {text.counted(one.files, 'file')}"
        click.echo(f"{name}: {told}{torn}{aside}{dropped}")
    if not done and not as_json:
        click.echo("nothing was predicted yet; serve a loop: lw serve")


def _kinds(opened: System, loop: str) -> Kinds:
    """By the contract of each version; of one that is gone, what its values look like."""
    known: dict[int, dict[str, str]] = {}

    def kinds(version: int) -> dict[str, str]:
        if version not in known:
            contract = _contract(opened, loop, version)
            known[version] = {one.name: one.kind for one in contract.columns} if contract else {}
        return known[version]

    return kinds


def _key_columns(opened: System, loop: str) -> set[str]:
    """By the contracts of the versions: what names a row, and its time."""
    contracts = [_contract(opened, loop, version.number) for version in opened.stores.versions.list(loop)]
    named = [(*one.key, one.time) for one in contracts if one is not None]
    return {name for names in named for name in names if name}


def _contract(opened: System, loop: str, version: int) -> Schema | None:
    from loopwright.data.schema import Schema

    try:
        found = opened.stores.versions.get(loop, str(version))
        with opened.stores.blobs.local(found.files["schema.json"]) as file:
            return Schema.from_json(Path(file).read_text(encoding="utf-8"))
    except (NotFound, KeyError):
        return None


def _compacted_json(one: Compacted) -> dict[str, Any]:
    told = {"rows": one.rows, "files": one.files, "torn": one.torn, "dropped_days": list(one.dropped_days)}
    return told | ({"set_aside": list(one.aside)} if one.aside else {})


def _prediction_json(line: Line, label: Label | None) -> dict[str, Any]:
    import msgspec

    return {"prediction": msgspec.to_builtins(line), "label": msgspec.to_builtins(label)}


def _prediction_row(line: Line, label: Label | None) -> list[str]:
    predicted = line.label if line.value is None else f"{line.value:.6g}"
    if line.probabilities and not isinstance(line.label, float):
        share = max(line.probabilities.values())
        predicted = f"{predicted} ({share:.3f})"
    came_true = "" if label is None else str(label.label)
    return [line.id, text.moment(line.at), f"v{line.version}", line.arm, str(predicted), came_true]
