"""What a run looks like while it goes: a live list on a terminal, plain lines elsewhere, nothing for machines."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import click

from loopwright.cli import text
from loopwright.data.printable import printable, printable_lines
from loopwright.pipeline.request import Report
from loopwright.pipeline.supervisor import Ending


class Live(Protocol):
    """Where lines go, and what is at work is shown."""

    def line(self, text: str) -> None: ...
    def begin(self, steps: int) -> None: ...
    def at_work(self, step: str, *, active: bool) -> None: ...
    def done(self) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Hears the reports of a run and shows them."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._width = 0

    @classmethod
    def for_terminal(cls, *, quiet: bool) -> Progress:
        if quiet:
            return cls(Silent())
        return cls(Bars() if sys.stdout.isatty() else Plain())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.close()

    def hear(self, report: Report) -> None:
        match report.told:
            case "run":
                self._begin(report)
            case "turn":
                self._turn(report)
            case "restart":
                self._live.line(f"  {report.step}: {_first_line(report)}; starting a new worker")

    def end(self, ending: Ending, resume: str) -> None:
        """The last lines: how it ended and what to do next."""
        if not ending.run or (ending.error and not ending.status):
            return self._refused(ending, resume)
        counts = dict.fromkeys(("ran", "reused", "failed", "rejected"), 0)
        for report in ending.executions.values():
            counts[report.word] += 1
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
        click.echo(f"run {ending.run} {text.status(ending.status)}: {told}")
        if not ending.is_success:
            self._what_next(ending, resume)
        return None

    def _begin(self, report: Report) -> None:
        self._width = max((len(step["name"]) for step in report.steps), default=0)
        verb = "watching" if report.is_held else "running" if report.is_new else "resuming"
        why = " (another worker has it)" if report.is_held else ""
        self._live.line(f"{verb} {report.pipeline} as {report.run}{why}")
        self._live.begin(len(report.steps))

    def _turn(self, report: Report) -> None:
        self._live.at_work(report.step, active=report.status == "running")
        if report.status in ("ran", "reused", "failed", "cancelled"):
            self._live.done()
        if report.status not in ("running", "pending"):
            self._live.line(f"  {report.step:{self._width}}  {_told(report)}")

    def _refused(self, ending: Ending, resume: str) -> None:
        assert ending.error
        click.echo(f"{click.style('error:', fg='red', bold=True)} {printable_lines(ending.error.message)}", err=True)
        if ending.error.where:
            click.echo(f"  where: {printable_lines(ending.error.where)}", err=True)
        if ending.fix:
            click.echo(f"  to do: {printable_lines(ending.fix)}", err=True)
        if ending.run and not ending.fix:
            click.echo(f"  to do: {resume}", err=True)

    def _what_next(self, ending: Ending, resume: str) -> None:
        failed = next((r for r in ending.executions.values() if r.status == "failed"), None)
        if ending.error:
            told = printable_lines(ending.error.traceback.rstrip() or ending.error.message)
            click.echo(f"\n{told}", err=True)
            if ending.error.where:
                click.echo(f"  where:  {printable_lines(ending.error.where)}", err=True)
        if failed:
            click.echo(f"  log:    {resume.replace('lw resume', 'lw logs')} --step {failed.step}", err=True)
        if ending.status != "rejected":  # nothing is left to be done: the result must not be used
            click.echo(f"  resume: {resume}", err=True)


def _told(report: Report) -> str:
    word = text.status(report.word)
    match report.status:
        case "ran":
            again = f" (attempt {report.attempt})" if report.attempt > 1 else ""
            return f"{word}     {text.seconds(report.seconds)}{again}"
        case "failed":
            kind = report.error.kind if report.error and not report.error.is_rejection else ""
            return f"{word}  {kind}: {_first_line(report)}" if kind else f"{word}  {_first_line(report)}"
        case "waiting":
            why = f" after {report.error.kind}: {_first_line(report)}" if report.error else ""
            return f"{word} until {(report.wake_at or '')[11:19]} UTC{why}"
    return word


def _first_line(report: Report) -> str:
    return printable(report.error.message.split("\n")[0]) if report.error else ""


class Silent:
    def line(self, text: str) -> None: ...
    def begin(self, steps: int) -> None: ...
    def at_work(self, step: str, *, active: bool) -> None: ...
    def done(self) -> None: ...
    def close(self) -> None: ...


class Plain(Silent):
    def line(self, text: str) -> None:
        click.echo(text)


class Bars:
    """Rich's, imported only on a terminal."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._whole: Any = None
        self._tasks: dict[str, Any] = {}

    def line(self, text: str) -> None:
        if self._progress is None:
            click.echo(text)
        else:
            from rich.text import Text

            self._progress.console.print(Text.from_ansi(text))

    def begin(self, steps: int) -> None:
        if self._progress is not None:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        words = TextColumn("{task.description}")
        columns = (SpinnerColumn(), words, BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, transient=True)
        self._progress.start()
        self._whole = self._progress.add_task("steps", total=steps)

    def at_work(self, step: str, *, active: bool) -> None:
        if self._progress is None:
            return
        if active and step not in self._tasks:
            self._tasks[step] = self._progress.add_task(f"  {step}", total=None)
        elif not active and step in self._tasks:
            self._progress.remove_task(self._tasks.pop(step))

    def done(self) -> None:
        if self._progress is not None:
            self._progress.advance(self._whole)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
