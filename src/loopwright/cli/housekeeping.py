"""`lw gc`, `lw settings`: the workspace itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from loopwright import settings as settings_table
from loopwright.cli import text, words
from loopwright.core.duration import duration
from loopwright.pipeline import laid_out
from loopwright.pipeline.laid_out import Unused
from loopwright.store import gc as collector
from loopwright.store.gc import Garbage


@words.command(words.root, "gc", example="lw gc --older-than 30d --dry-run")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--older-than", metavar="AGE", help="Also drop outputs of runs that ended longer ago "
    "(30d, 12h); never those of the newest success of a pipeline.",
)  # fmt: skip
def gc(dry_run: bool, older_than: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Delete stored content that nothing refers to any more, and folders of deployments that no longer run."""
    opened = words.opened(project, flags)
    age = duration(older_than, "--older-than", may_be_zero=True) if older_than else None
    grace = timedelta(seconds=opened.settings.number("gc_grace_seconds"))
    if dry_run:
        garbage = collector.plan(opened.stores, opened.clock.now(), grace=grace, older_than=age)
    else:
        garbage = collector.collect(opened.stores, opened.cause("lw gc"), grace=grace, older_than=age)
    folders = laid_out.unused(opened.stores, opened.workspace, opened.clock.now(), grace)
    for folder in () if dry_run else folders:
        laid_out.remove(folder)
    if as_json:
        words.print_json(_told(garbage, folders, dry_run=dry_run))
        return
    _tell(garbage, folders, "would go" if dry_run else "went")


def _tell(garbage: Garbage, folders: Sequence[Unused], verb: str) -> None:
    for artifact in garbage.unreferenced:
        whose = f"{artifact.kind} of step {artifact.step}" if artifact.step else artifact.kind
        click.echo(f"{artifact.digest}  {artifact.size_bytes:>14,} bytes  {whose}, run {artifact.run_id}")
    for blob in garbage.orphans:
        click.echo(f"{blob.digest}  {blob.size_bytes:>14,} bytes  left by a killed worker")
    for folder in folders:
        click.echo(f"{folder.path}  {folder.size_bytes:,} bytes  of deployments that no longer run")
    count = len(garbage.unreferenced) + len(garbage.orphans)
    click.echo(f"{count} blobs, {garbage.size_bytes:,} bytes {verb}")
    if folders:
        click.echo(f"{len(folders)} folders, {sum(one.size_bytes for one in folders):,} bytes {verb}")


@words.command(words.root, "settings", example="lw settings --set workers=1")
def settings(project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show every setting, its value, and who chose it."""
    chosen = settings_table.load(project or Path.cwd(), words.pairs(flags, "--set")).chosen
    if as_json:
        words.print_json({name: {"value": c.value, "origin": c.origin} for name, c in chosen.items()})
        return
    rows = [
        [row.name, str(chosen[row.name].value) or "-", chosen[row.name].origin, row.unit, row.help]
        for row in settings_table.TABLE
    ]
    click.echo(text.columns(rows, ["SETTING", "VALUE", "CHOSEN BY", "UNIT", "WHAT"]))


def _told(garbage: Garbage, folders: Sequence[Unused], *, dry_run: bool) -> dict[str, Any]:
    blobs = {blob.digest: blob.size_bytes for blob in garbage.orphans}
    blobs |= {artifact.digest: artifact.size_bytes for artifact in garbage.unreferenced}
    told = [{"digest": digest, "size_bytes": size} for digest, size in blobs.items()]
    unused = [{"path": str(one.path), "size_bytes": one.size_bytes} for one in folders]
    return {"dry_run": dry_run, "size_bytes": garbage.size_bytes, "blobs": told, "folders": unused}
