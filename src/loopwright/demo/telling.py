"""The year in words: a line for what matters among the events, and the table at the end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from loopwright.core.event import Event
from loopwright.demo.story import MONTHS
from loopwright.judge.evaluation import number

NEW_CODE = "new code"
_MOST_NAMES = 4
_VERDICTS = {
    "ramp": "goes on",
    "hold": "waits",
    "resume": "goes on",
    "promote": "is the champion now",
    "finish": "stays the champion",
    "roll back": "is TAKEN BACK",
    "abort": "is taken back by hand",
}


@dataclass(kw_only=True)
class Month:
    """Of the year, as it went. Qualities are of the loop's metric, on the flights of the month that landed."""

    number: int
    versions: list[int] = field(default_factory=list)
    """That answered as champions, in turn."""
    predictions: int = 0
    labels: int = 0
    loop: float | None = None
    alone: float | None = None
    """Of the first model, had nobody touched it."""
    monthly: float | None = None
    """Of a model made anew every month, looked at or not."""
    findings: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For the story's JSON."""
        return asdict(self) | {"name": MONTHS[self.number - 1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of an event, and its place in the table; an empty text is in its place alone."""

    text: str
    finding: str = ""
    action: str = ""


def told(event: Event) -> Told | None:
    """None for what only machines want to know."""
    telling = _TELLING.get(event.kind)
    return None if telling is None else telling(event)


def table(months: Sequence[Month], retrains: int, monthly_retrains: int) -> str:
    """A line a month, then the mean of each way and what a retraining brought."""
    header = ["MONTH", "SERVED", "LOOP", "FIRST ALONE", "MONTHLY", "FINDINGS", "ACTIONS"]
    rows = [_row(month) for month in months]
    means = {name: mean(months, name) for name in ("loop", "alone", "monthly")}
    rows.append(["the year", "", *(number(value) for value in means.values()), "", ""])
    rows.append(["retrains", "", str(retrains), "0", str(monthly_retrains), "", ""])
    counts = {"loop": retrains, "monthly": monthly_retrains}
    gains = {name: per_retrain(means[name], means["alone"], count) for name, count in counts.items()}
    told = [f"{gains[name]:+.5f}" if gains[name] is not None else "-" for name in ("loop", "monthly")]
    rows.append(["gain a retrain", "", told[0], "-", told[1], "", ""])
    return columns([header, *rows])


def compared(months: Sequence[Month], retrains: int, monthly_retrains: int) -> str:
    """What it comes to, in a sentence, whichever way it went."""
    loop, alone, monthly = (mean(months, name) for name in ("loop", "alone", "monthly"))
    gain, blind = per_retrain(loop, alone, retrains), per_retrain(monthly, alone, monthly_retrains)
    if gain is None or blind is None:
        return "Too little was measured to compare the loop with anything."
    better = "more" if gain > blind else "no more"
    return (
        f"Over the first model left alone the loop gained {gain:+.5f} with each of its {retrains} retrainings, which "
        f"is {better} than the {blind:+.5f} of retraining blindly every month."
    )


def mean(months: Sequence[Month], name: str) -> float | None:
    """Of the months in which it is known; None where it is in none."""
    known = [value for month in months if (value := getattr(month, name)) is not None]
    return sum(known) / len(known) if known else None


def per_retrain(value: float | None, alone: float | None, retrains: int) -> float | None:
    """How much better than the first model alone, by retraining.

    >>> round(per_retrain(0.70, 0.68, 4), 4), per_retrain(0.70, 0.68, 0)
    (0.005, None)
    """
    return None if value is None or alone is None or not retrains else (value - alone) / retrains


def columns(rows: Sequence[Sequence[str]]) -> str:
    """One under the other.

    >>> print(columns([["A", "B"], ["one", "2"]]))
    A    B
    one  2
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(month: Month) -> list[str]:
    return [
        MONTHS[month.number - 1],
        ", ".join(f"v{one}" for one in month.versions),
        *(number(value) for value in (month.loop, month.alone, month.monthly)),
        "; ".join(dict.fromkeys(month.findings)) or "-",
        "; ".join(dict.fromkeys(month.actions)) or "-",
    ]


def _claimed(event: Event) -> Told:
    if event.data["trigger"] == NEW_CODE:
        return Told(text=f"the loop learns for the first time: {event.cause.reason}")
    return Told(text=f"the loop learns again: {event.cause.reason}", action="retrained")


def _not_made(event: Event) -> Told:
    why = str(event.data.get("error") or event.cause.reason).split("\n")[0]
    return Told(text=f"and makes no new version: {why}", action="a training failed")


def _registered(event: Event) -> Told:
    return Told(text=f"{_version(event)} proved itself: {_first_line(event)}")


def _rejected(event: Event) -> Told:
    return Told(text=f"{_version(event)} is REJECTED: {_first_line(event)}", action=f"{_version(event)} rejected")


def _moved(event: Event) -> Told:
    verdict, name, reason = str(event.data["verdict"]), f"v{event.data['challenger']}", _first_line(event)
    does = _VERDICTS.get(verdict, verdict)
    text = reason if verdict == "begin" else f"{name} {does}: {reason}"
    actions = {"promote": f"{name} promoted", "roll back": f"{name} taken back", "abort": f"{name} taken back by hand"}
    return Told(text=text, action=actions.get(verdict, ""))


def _drifted(event: Event) -> Told:
    names = list(event.data.get("drifted", ()))
    if not names or str(event.cause.reason).startswith("run "):
        return Told(text="")
    return Told(text=f"drift of {some(names)}", finding="drift")


def _decayed(event: Event) -> Told:
    data = event.data
    name, began = f"v{data['version']}", data["began_at"]
    since = f" since {datetime.fromisoformat(began):%d %b}" if began else ""
    return Told(text=f"{name} decays{since}: {data['metric']} {data['number']:.3f}", finding=f"decay of {name}")


def _failed(event: Event) -> Told:
    return Told(text=f"a reconciler could not go on: {_first_line(event)}", finding="a reconciler failed")


_TELLING = {
    "RetrainingClaimed": _claimed,
    "RetrainingFailed": _not_made,
    "VersionRegistered": _registered,
    "VersionRejected": _rejected,
    "ReleaseMoved": _moved,
    "DriftFound": _drifted,
    "DecayFound": _decayed,
    "ReconcilerFailed": _failed,
}


def some(names: Sequence[str]) -> str:
    """
    >>> some(["temp", "dewp", "humid", "visib", "precip"])
    'temp, dewp, humid, visib and 1 more'
    """
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + rest


def _version(event: Event) -> str:
    return f"v{event.subject.rsplit(':', 1)[-1]}"


def _first_line(event: Event) -> str:
    return (event.cause.reason or "").split("\n")[0]
