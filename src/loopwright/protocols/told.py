"""What the gateway tells of itself, as JSON: its loops, their routes and versions, and the columns they take."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from loopwright.core.version import Route
from loopwright.gateway.served import Fault, Served, State


@cache
def release() -> str:
    """Of Loopwright: the package itself may not be asked, for it imports the layers above."""
    return metadata.version("loopwright")


def state(state: State) -> dict[str, Any]:
    """A loop in short."""
    served = state.served
    return {
        "name": state.loop,
        "is_served": served is not None,
        "is_resting": state.is_resting,
        "version": served.champion.version.number if served else None,
        "digest": served.champion.version.digest if served else None,
        "route": route(served.route) if served else None,
        "fault": fault(state.fault) if state.fault else None,
        "predictions": state.predictions,
        "invalid": state.invalid,
    }


def contract(served: Served) -> dict[str, Any]:
    """The task and the columns of the champion."""
    model = served.champion
    return {"task": model.predictor.task, "classes": list(model.predictor.classes), "schema": model.schema}


def route(route: Route) -> dict[str, Any]:
    arms = [{"name": arm.name, "version": arm.version, "share": arm.share} for arm in route.arms]
    return {"number": route.number, "at": route.at, "arms": arms}


def fault(fault: Fault) -> dict[str, Any]:
    """Why the newest route is not followed. The older one answers on."""
    return {"route": route(fault.route), "what": fault.what, "fix": fault.fix, "attempts": fault.attempts}
