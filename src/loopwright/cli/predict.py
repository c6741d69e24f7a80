"""`lw predict`, `lw precompute`: batches, by the bundle that is served."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopwright.cli import text, words
from loopwright.errors import BadSource, UsageError
from loopwright.system import System

if TYPE_CHECKING:
    from loopwright.predictions.job import Order, Outcome, Surroundings
    from loopwright.predictions.schedule import Due

_FORMATS = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}
_GIVEN: list[Callable[[Any], Any]] = [
    click.argument("loop"),
    click.argument("source", required=False),
    click.option("--version", default="champion", show_default=True, metavar="NAME", help="Number, alias or digest."),
    click.option(
        "--output",
        "--to",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A .parquet, .csv or .jsonl file, or a folder; replaced when it is all there.",
    ),
    click.option("--table", metavar="NAME", help="Append to this table instead."),
    click.option("--query", metavar="SQL", help="What to ask of SOURCE, the URL of a database."),
    click.option("--by", metavar="COLUMN", help="Part the files of a folder by its values."),
    click.option("--format", "form", type=click.Choice(list(_FORMATS)), default="parquet", help="Of a folder's files."),
    click.option("--every", metavar="TIME", help="Stay, and do it at every multiple of this: 1d, 6h."),
    click.option("--catch-up", is_flag=True, help="With --every: meet also the times that were missed."),
    click.option("--history", is_flag=True, help="What became of the batches of LOOP."),
]


def _given(function: Any) -> Any:
    for option in reversed(_GIVEN):
        function = option(function)
    return function


@words.command(words.root, "predict", example="lw predict late-arrivals 'april/*.csv' --to late.parquet")
@_given
def predict(loop: str, project: Path | None, flags: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Score SOURCE, a file, glob, URL or the name of a table, with a version of LOOP.

    Killed and started again, it goes on where it was.
    """
    from loopwright.predictions.job import Job

    with words.opened(project, flags) as opened:
        if given["history"]:
            _tell_history(opened, loop, as_json=as_json)
            return
        order = _order(loop, given)
        if given["every"] is not None:
            _follow(opened, order, given["every"], catch_up=given["catch_up"])
            return
        with _no_frames():
            outcome = Job(order, _around(opened)).run()
    _tell(order, outcome, as_json=as_json)


@words.command(words.root, "precompute", example="lw precompute late-arrivals 'tomorrow/*.parquet'")
@click.argument("loop")
@click.argument("source", required=False)
@click.option("--version", default="champion", show_default=True, metavar="NAME", help="Number, alias or digest.")
@click.option("--forget", is_flag=True, help="Take the answers of LOOP away.")
def precompute(
    loop: str,
    source: str | None,
    version: str,
    forget: bool,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict on SOURCE now, for gateways to answer by key while that version answers."""
    from loopwright.predictions import by_key, precomputing

    with words.opened(project, flags) as opened:
        if forget:
            there = by_key.forget(opened.workspace / by_key.FOLDER, loop)
            _say({"forgotten": there}, "forgotten" if there else f"there was nothing for {loop}", as_json=as_json)
            return
        if source is None:
            raise UsageError("there is no SOURCE", fix=f"lw precompute {loop} FILES_OR_TABLE")
        with _no_frames():
            about = precomputing.precompute(loop, source, version, _around(opened))
    said = f"{loop} v{about.version} answers to {text.counted(about.rows, 'key')} ({', '.join(about.key)})"
    _say(asdict(about), said, as_json=as_json)


@contextmanager
def _no_frames() -> Iterator[None]:
    """Reading advises to give a frame that types a column, which nobody can on a command line."""
    try:
        yield
    except BadSource as error:
        if error.fix is None or "schema_overrides" not in error.fix:
            raise
        fix = "correct the value, or leave the row out"
        raise BadSource(error.what, where=error.where, fix=fix) from None


def _order(loop: str, given: dict[str, Any]) -> Order:
    from loopwright.predictions.job import Order

    source, output = given["source"], given["output"]
    if source is None:
        raise UsageError("there is no SOURCE", fix=f"lw predict {loop} FILES_OR_TABLE --to PATH")
    if output is not None and output.exists() and any(Path(one).samefile(output) for one in glob.glob(source)):  # noqa: PTH207 - may be absolute
        raise UsageError(f"{output} is the source itself", fix="name another file: --to scored.parquet")
    if given["every"] is None:
        _refuse_schedule(output, catch_up=given["catch_up"])
    return Order(
        loop=loop,
        source=source,
        version=given["version"],
        query=given["query"],
        path=output,
        table=given["table"],
        by=given["by"],
        suffix=_FORMATS[given["form"]],
    )


def _refuse_schedule(output: Path | None, *, catch_up: bool) -> None:
    """Raises `UsageError` for what means something only to one."""
    if catch_up:
        raise UsageError("--catch-up meets the times that a schedule missed", fix="write --every TIME too: 1d, 6h")
    if output is not None and (found := re.search("%[A-Za-z]", str(output))):
        raise UsageError(
            f"{found[0]} in {output} stands for the time at which a batch is due",
            where="--to",
            fix="write --every TIME too: 1d, 6h; or name the file as it is to be called",
        )


def _around(opened: System) -> Surroundings:
    from loopwright.predictions.job import Surroundings
    from loopwright.registry.fetch import fetched

    bundles = opened.workspace / "bundles"
    return Surroundings(
        stores=opened.stores,
        tables=lambda: opened.tables,
        tables_url=opened.settings.text("tables_url") or str(opened.workspace / "tables"),
        workspace=opened.workspace,
        bundles=bundles,
        fetch=lambda version: fetched(opened.stores, version, bundles),
        clock=opened.clock,
        actor=opened.actor,
        workers=opened.settings.integer("workers") or os.cpu_count() or 1,
    )


def _follow(opened: System, order: Order, every: str, *, catch_up: bool) -> None:
    """Until it is interrupted."""
    from loopwright.core.duration import duration
    from loopwright.predictions.schedule import Schedule

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    interval = duration(every, "--every")
    schedule = Schedule(opened.clock, interval, _last(opened, order), catch_up=catch_up)
    told = f"{order.loop} is predicted every {every}, to {order.target}"
    click.echo(f"{told}; next for {text.moment(schedule.next_at)} UTC")
    schedule.follow(lambda due: _meet(opened, order, due), lambda: False)


def _meet(opened: System, order: Order, due: Due) -> None:
    from loopwright.predictions.job import Job

    path = None if order.path is None else Path(due.at.strftime(str(order.path)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    asked = replace(order, path=path, due=due.at.isoformat(), missed=due.missed, schedule=order.target)
    outcome = Job(asked, _around(opened)).run()
    _tell(asked, outcome, as_json=False)


def _last(opened: System, order: Order) -> Any:
    from loopwright.predictions import history

    return history.last_due(opened.stores.events, order.loop, order.target)


def _tell(order: Order, outcome: Outcome, *, as_json: bool) -> None:
    version = outcome.version
    told = {
        "version": version.number,
        "digest": version.digest,
        "rows": outcome.rows,
        "output": str(order.path) if order.path is not None else None,
        "table": order.table,
        "batch": outcome.batch,
        "fragments": outcome.fragments,
        "resumed": outcome.resumed,
        "is_repeated": outcome.is_repeated,
    }
    again = f" ({outcome.resumed} of {outcome.fragments} fragments were done before)" if outcome.resumed else ""
    again += "; the table has them already, so none was appended" if outcome.is_repeated else ""
    said = f"{version.name} predicted {text.counted(outcome.rows, 'row')}: {order.target}{again}"
    _say(told, said, as_json=as_json)


def _tell_history(opened: System, loop: str, *, as_json: bool) -> None:
    from loopwright.predictions import history

    found = history.batches(opened.stores.events, loop)
    if as_json:
        words.print_json([asdict(one) for one in found])
        return
    rows = [
        [
            one.batch,
            one.status,
            text.moment(one.began_at),
            f"v{one.version}",
            "" if one.rows is None else f"{one.rows:,}",
            one.target,
            one.due or "",
            one.actor,
            one.error or (f"{one.missed} missed before" if one.missed else ""),
        ]
        for one in found
    ]
    heads = ["BATCH", "STATUS", "BEGAN (UTC)", "VERSION", "ROWS", "TO", "DUE", "BY", "WHY"]
    click.echo(text.columns(rows, heads) if rows else f"no batches of {loop} yet")


def _say(told: dict[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        words.print_json(told)
    else:
        click.echo(said)
