"""`lw demo`: a real year of flights, from a loop file to a loop that turned for nine months by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopwright.cli import words

if TYPE_CHECKING:
    from loopwright.demo.story import Story


@words.command(words.root, "demo", example="lw demo --json story.json", workspace=False, json=False)
@click.option(
    "--months",
    type=click.IntRange(1, 11),
    help="Only this: learn from so many months of 2013, and be asked about the next. With fewer than 3 the gates will "
    "probably reject the model.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it plays; the loop file and the workspace are kept there [default: flights-year, or flights-demo with "
    "--months]. What an earlier year left there is cleared away.",
)
@click.option("--serve", is_flag=True, help="Keep the gateway up until Ctrl-C.")
@click.option("--rows", type=click.IntRange(2000), metavar="N", help="Only about so many flights of each month.")
@click.option(
    "--json",
    "story_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the story there.",
)
def demo(months: int | None, folder: Path | None, *, serve: bool, rows: int | None, story_file: Path | None) -> None:
    """Replay the flights of 2013: learn from three months, then ask, watch, release and learn again until December.

    It takes about three minutes. With --months it stops after the first model and a month of answers.
    """
    serve_on = _keep_up if serve else None
    if months is None:
        _year(folder or Path("flights-year"), rows, serve_on, story_file)
    else:
        _first_months(months, folder or Path("flights-demo"), rows, serve_on, story_file)


def _year(folder: Path, rows: int | None, serve_on: Callable[[str], None] | None, story_file: Path | None) -> None:
    from loopwright.demo import story as stories
    from loopwright.demo import year

    with year.open_folder(folder) as opened:
        story = stories.Story(system=opened, say=click.echo, months=year.LEARNED)
        _told(story, story_file, lambda: year.play(story, folder, rows_each=rows, serve_on=serve_on))
    click.echo(
        f"\n{story.summary['seconds']:.0f} seconds in all. Read on: {folder / stories.FILE}, and look around: "
        f"cd {folder} && lw models"
    )


def _first_months(
    months: int, folder: Path, rows: int | None, serve_on: Callable[[str], None] | None, story_file: Path | None
) -> None:
    from loopwright.demo import story as stories

    with stories.open_folder(folder) as opened:
        story = stories.Story(system=opened, say=click.echo, months=months)
        _told(story, story_file, lambda: stories.play(story, folder, rows_each=rows, serve_on=serve_on))
    summary = story.summary
    click.echo(
        f"\n{summary['seconds']:.0f} seconds in all. Read on: {folder / stories.FILE}, and lw models --project {folder}"
        f"\nServe it and look on: cd {folder} && lw serve"
    )


def _told(story: Story, story_file: Path | None, play: Callable[[], None]) -> None:
    """Written down whatever happens."""
    try:
        play()
    finally:
        if story_file is not None:
            story_file.write_text(story.to_json() + "\n", encoding="utf-8")


def _keep_up(url: str) -> None:
    click.echo(f"\n{url} stays up; its API is described at {url}/openapi.json. Ctrl-C ends it.")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        click.echo("ended")
