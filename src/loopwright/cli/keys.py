"""`lw keys`: list, make and revoke the API keys of the gateways of a workspace. The only place where they are made."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.access import ApiKey, Scope
from loopwright.core.duration import duration
from loopwright.errors import UsageError
from loopwright.system import System

_NEVER = "never"
_SCOPES = [scope.value for scope in Scope]


@words.root.group("keys", cls=words.Words, invoke_without_command=True, epilog="\b\nExample:\n  lw keys")
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Say who may ask a gateway; alone: list the API keys."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_keys)


@words.command(keys, "list", example="lw keys list")
def list_keys(project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List the API keys, with scopes, expiry and last use; never the keys themselves, which nobody has but their
    owners."""
    opened = words.opened(project, flags)
    found, now = opened.stores.keys.list(), opened.clock.now()
    if as_json:
        words.print_json([_told(key, now) for key in found])
    elif not found:
        click.echo("no API key yet: gateways serve this machine alone; make one: lw keys make NAME --scope predict")
    else:
        header = ["ID", "NAME", "OWNER", "SCOPES", "LOOPS", "RATE", "STATUS", "EXPIRES (UTC)", "LAST USED (UTC)"]
        click.echo(text.columns([_row(key, now) for key in found], header))


@words.command(keys, "make", example="lw keys make shop --scope predict --scope view --expires 90d")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(_SCOPES),
    help="What it opens; may be repeated.",
)
@click.option(
    "--expires", default="90d", show_default=True, metavar="AGE", help=f"Good for so long (90d, 12h), or {_NEVER}."
)
@click.option("--owner", metavar="WHO", help="Who has it [default: you].")
@click.option("--loop", "loops", multiple=True, metavar="LOOP", help="For this loop alone; may be repeated.")
@click.option("--rate", type=float, metavar="NUMBER", help="At most so many requests a second [default: no limit].")
def make(
    name: str,
    scopes: tuple[str, ...],
    expires: str,
    owner: str | None,
    loops: tuple[str, ...],
    rate: float | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an API key, called NAME for people, and print it: this once, for only a hash of it is kept.

    The first one turns authentication on in every gateway of the workspace, on this machine too, and for good.
    """
    from loopwright.access import keys as made

    opened = words.opened(project, flags)
    shown, key = made.make(
        opened.clock,
        name=name,
        owner=owner or opened.actor,
        scopes=[made.scope(word) for word in scopes],
        lasts=_lasts(expires),
        loops=loops,
        rate_per_second=rate,
    )
    is_first = not opened.stores.keys.list()
    kept = opened.stores.keys.add(key, opened.cause("lw keys make"))
    _show(opened, shown, kept, is_first=is_first, as_json=as_json)


@words.command(keys, "revoke", example="lw keys revoke 4h2kq8w0zx --because 'it was in a chat'")
@click.argument("name", metavar="ID")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def revoke(name: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Make the API key with that ID good for nothing, for good; gateways refuse it within route_poll_seconds."""
    from loopwright.access.keys import identity

    opened = words.opened(project, flags)
    cause = opened.cause(because.strip() or "lw keys revoke")
    key = opened.stores.keys.revoke(identity(name), cause)
    if as_json:
        words.print_json(_told(key, cause.at))
    elif key.revoked_at == cause.at:
        click.echo(f"the key {key.id} ({key.name}) is revoked")
    else:
        click.echo(f"the key {key.id} ({key.name}) was revoked already, at {text.moment(key.revoked_at)} UTC")


def _show(opened: System, shown: str, key: ApiKey, *, is_first: bool, as_json: bool) -> None:
    """The key alone on stdout, so that it can be piped to where it is kept; what people should know beside it."""
    if as_json:
        words.print_json({"key": shown} | _told(key, key.created_at))
        return
    click.echo(shown)
    until = f"until {text.moment(key.expires_at)} UTC" if key.expires_at else "for ever"
    click.echo(f"good {until}; keep it well, it is not shown again", err=True)
    unknown = sorted(key.loops - {version.loop for version in opened.stores.versions.list()})
    if unknown:
        click.echo(f"mind: no loop is called {', '.join(unknown)} yet", err=True)
    if is_first:
        click.echo("mind: from now on every gateway of this workspace asks for a key, on this machine too", err=True)


def _lasts(expires: str) -> timedelta | None:
    if expires == _NEVER:
        return None
    found = duration(expires, "--expires")
    if found > timedelta(days=36_500):
        raise UsageError(f"a key cannot be good for {expires}", fix=f"write 90d, say, or {_NEVER}")
    return found


def _told(key: ApiKey, now: datetime) -> dict[str, Any]:
    """Without the hash: nobody needs it outside the store."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "scopes": sorted(scope.value for scope in key.scopes),
        "loops": sorted(key.loops),
        "rate_per_second": key.rate_per_second,
        "status": key.status_at(now),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _row(key: ApiKey, now: datetime) -> list[str]:
    return [
        key.id,
        key.name,
        key.owner,
        " ".join(scope.value for scope in Scope if scope in key.scopes),
        " ".join(sorted(key.loops)) or "all",
        "-" if key.rate_per_second is None else f"{key.rate_per_second:g}/s",
        key.status_at(now),
        text.moment(key.expires_at) or _NEVER,
        text.moment(key.last_used_at) or "-",
    ]
