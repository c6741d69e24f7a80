"""What this machine has to give to steps."""

from __future__ import annotations

import os
from pathlib import Path

from loopwright.errors import UsageError
from loopwright.pipeline.graph import AnyStep
from loopwright.pipeline.step import Resources


def capacity(workers: int = 0) -> Resources:
    """CPUs (or `workers`, when given), GPUs and memory of this machine."""
    return Resources(cpus=workers or _cpus(), gpus=_gpus(), memory_bytes=_memory_bytes())


def left(whole: Resources, taken: list[Resources]) -> Resources:
    """What is free while those are at work.

    >>> left(Resources(cpus=2), [Resources(cpus=1)]).cpus
    1.0
    """
    return Resources(
        cpus=float(whole.cpus - sum(r.cpus for r in taken)),
        gpus=float(whole.gpus - sum(r.gpus for r in taken)),
        memory_bytes=whole.memory_bytes - sum(r.memory_bytes for r in taken),
    )


def is_room(wanted: Resources, free: Resources) -> bool:
    return wanted.cpus <= free.cpus and wanted.gpus <= free.gpus and wanted.memory_bytes <= free.memory_bytes


def refuse_too_big(step: AnyStep, whole: Resources) -> None:
    """Raises UsageError for a step that would wait for ever."""
    for name in ("cpus", "gpus", "memory_bytes"):
        wanted, there = getattr(step.resources, name), getattr(whole, name)
        if wanted > there:
            raise UsageError(
                f"step {step.name!r} needs {name}={wanted:g}, this machine gives {there:g}",
                where=step.where,
                fix="lower its resources, or the setting workers is too small",
            )


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() and name.strip() != "-1"])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()])


def _memory_bytes() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
