"""`lw alerts`: what is open, who is told, silences, and a try whether messages arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.duration import duration
from loopwright.core.plain import plain
from loopwright.errors import LoopwrightError, UsageError, did_you_mean

_HINT = """nobody is told: write alerts.toml in the project folder
  [[to]]
  name = "me"
  url = "mailto://..."
  urgency = ["page", "notify"]"""


@words.root.group("alerts", cls=words.Words, invoke_without_command=True, epilog="\b\nExample:\n  lw alerts")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def alerts(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is wrong, who is told of it, and what is silenced; alone: list it."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_alerts, as_json=as_json)
    elif as_json:
        word = ctx.invoked_subcommand
        raise UsageError(f"--json stands before {word!r}", fix=f"write it at the end: lw alerts {word} --json")


@words.command(alerts, "list", example="lw alerts list --all")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
def list_alerts(project: Path | None, flags: tuple[str, ...], as_json: bool, *, everything: bool) -> None:
    """List the incidents that are open, the most urgent first, messages that wait, and silences."""
    from loopwright.alerts import declare
    from loopwright.alerts.incident import Ledger
    from loopwright.alerts.reconciler import ledger_of
    from loopwright.alerts.silences import silences

    with words.opened(project, flags) as opened:
        ledger, silenced = ledger_of(opened.stores) or Ledger(), silences(opened.stores)
        config, now = declare.read(opened.folder), opened.clock.now()
        shown = [*ledger.open, *(one for one in ledger.incidents if everything and one.over_at is not None)]
        lasting = [one for one in silenced if one.until > now]
        if as_json:
            told = {"incidents": [{"key": one.key, **plain(one)} for one in shown]}
            words.print_json(told | {"silences": plain(lasting), "waiting": plain(list(ledger.outbox))})
            return
        click.echo(_incidents([_row(one) for one in shown]))
        for message in ledger.outbox:
            click.echo(f"waits for {message.to}, tried {message.attempts} times: {message.title}")
        for one in lasting:
            why = f": {one.because}" if one.because else ""
            click.echo(f"silenced until {one.until:%Y-%m-%d %H:%M} UTC by {one.by}: {one.pattern}{why}")
        names = ", ".join(f"{to.name} ({', '.join(sorted(u.value for u in to.urgency))})" for to in config.recipients)
        click.echo(f"told: {names}" if names else _HINT)


@words.command(alerts, "test", example="lw alerts test on-call")
@click.argument("name", required=False)
def test(name: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Send a message to NAME, or to everybody in alerts.toml, and say whether it went out."""
    from loopwright.alerts import declare, delivery
    from loopwright.alerts.incident import Message
    from loopwright.alerts.urgency import Urgency

    with words.opened(project, flags) as opened:
        known, now = declare.read(opened.folder).recipients, opened.clock.now()
        asked = [one for one in known if name in (None, one.name)]
        if not asked:
            what = f"{declare.FILE} names no recipient {name!r}" if name else f"{declare.FILE} names nobody"
            fix = did_you_mean(name or "", [one.name for one in known]) if known else "see: lw alerts"
            raise UsageError(what, where=str(opened.folder / declare.FILE), fix=fix)
        results = {}
        for to in asked:
            body, key = f"{opened.actor} tries whether this arrives.", "test"
            message = Message(
                id=f"test@{now:%Y%m%dT%H%M%SZ}:{to.name}",
                to=to.name,
                key=key,
                urgency=Urgency.DIGEST,
                title="Loopwright: a test",
                body=body,
                due_at=now,
                made_at=now,
            )
            try:
                delivery.deliver(message, to)
                results[to.name] = ""
            except (delivery.Undelivered, LoopwrightError) as error:
                results[to.name] = str(error)
    _say(results, as_json=as_json)


@words.command(alerts, "silence", example='lw alerts silence "late-arrivals/*" --for 2h --because "new sensors"')
@click.argument("pattern")
@click.option("--for", "length", default="2h", show_default=True, metavar="AGE", help="So long (30m, 2h, 7d).")
@click.option("--because", default="", metavar="REASON", help="Kept beside it.")
def silence(
    pattern: str, length: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> None:
    """Keep back what is told of the incidents whose keys fit PATTERN; what outlasts the silence is told then."""
    from loopwright.alerts import silences
    from loopwright.alerts.incident import Silence

    lasts = duration(length, "--for")
    if not pattern.strip():
        raise UsageError("the pattern is empty", fix='write the key of an incident, or "*" for all: lw alerts list')
    with words.opened(project, flags) as opened:
        cause = opened.cause(because or "lw alerts silence")
        until = cause.at + lasts
        made = Silence(pattern=pattern, until=until, by=opened.actor, because=because)
        silences.silence(opened.stores, made, cause)
    if as_json:
        words.print_json(plain(made))
    else:
        click.echo(f"{pattern} is silenced until {until:%Y-%m-%d %H:%M} UTC; end it: lw alerts unsilence '{pattern}'")


@words.command(alerts, "unsilence", example='lw alerts unsilence "late-arrivals/*"')
@click.argument("pattern")
def unsilence(pattern: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """End a silence."""
    from loopwright.alerts import silences

    with words.opened(project, flags) as opened:
        ended = silences.unsilence(opened.stores, pattern, opened.cause("lw alerts unsilence"))
    if as_json:
        words.print_json(plain(ended))
    else:
        click.echo(f"{pattern} is no longer silenced")


def _incidents(rows: list[list[str]]) -> str:
    if not rows:
        return "nothing is open"
    return text.columns(rows, ["URGENCY", "KEY", "SINCE (UTC)", "TIMES", "WHAT"])


def _row(one: Any) -> list[str]:
    word = "over" if one.over_at is not None else one.urgency.value
    return [word, one.key, f"{one.opened_at:%Y-%m-%d %H:%M}", f"{one.count}", one.what]


def _say(results: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        words.print_json({name: {"sent": not why, "why": why} for name, why in results.items()})
    else:
        for name, why in results.items():
            click.echo(f"{name}: {why or 'sent'}")
    if any(results.values()):
        raise click.exceptions.Exit(words.FAILED)
