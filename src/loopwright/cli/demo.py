"""`lw demo`: a real year of flights, from a loop file to answers over HTTP."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from loopwright.cli import words


@words.command(words.root, "demo", example="lw demo --months 3", workspace=False, json=False)
@click.option(
    "--months",
    type=click.IntRange(1, 11),
    default=3,
    show_default=True,
    help="Of 2013, to learn from. With fewer than 3 the gates will probably reject the model.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="flights-demo",
    show_default=True,
    help="Where it plays; the loop file and the workspace are kept there.",
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
def demo(months: int, folder: Path, *, serve: bool, rows: int | None, story_file: Path | None) -> None:
    """Learn from real flights, prove a model, serve it, send it the next month, and see how right it was."""
    from loopwright.demo import story as stories

    with stories.open_folder(folder) as opened:
        story = stories.Story(system=opened, say=click.echo, months=months)
        try:
            stories.play(story, folder, rows_each=rows, serve_on=_keep_up if serve else None)
        finally:
            if story_file is not None:
                story_file.write_text(story.to_json() + "\n", encoding="utf-8")
    summary = story.summary
    click.echo(
        f"\n{summary['seconds']:.0f} seconds in all. Read on: {folder / stories.FILE}, and lw models --project {folder}"
        f"\nServe it and look on: cd {folder} && lw serve"
    )


def _keep_up(url: str) -> None:
    click.echo(f"\n{url} stays up; its API is described at {url}/openapi.json. Ctrl-C ends it.")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        click.echo("ended")
