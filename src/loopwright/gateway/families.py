"""Which metrics there are: name, kind, labels, and what each says. A closed table; docs and alerts go by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loopwright.gateway import metrics


class Kind(Enum):
    """How a metric goes with time."""

    COUNTER = "counter"
    """Only up, but for a restart."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table."""

    name: str
    """A counter is told with `_total` behind it."""
    kind: Kind
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()
    """Of a histogram: upper ends of its classes."""


_ANSWER = ("loop", "version", "arm", "protocol")
_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
FAMILIES = (
    Family("loopwright_requests", _COUNTER, (*_ANSWER, "status"), "Requests for predictions, by what they got."),
    Family("loopwright_errors", _COUNTER, ("loop", "status"), "Requests for predictions that failed: 5xx."),
    Family("loopwright_rows", _COUNTER, _ANSWER, "Rows that were predicted on."),
    Family(
        "loopwright_latency_seconds",
        _HISTOGRAM,
        _ANSWER,
        "From the last byte of a request in to its answer, of those that got a prediction.",
        metrics.SECONDS,
    ),
    Family("loopwright_batch_rows", _HISTOGRAM, ("loop",), "Rows that a model was run on together.", metrics.ROWS),
    Family("loopwright_refused", _COUNTER, ("loop", "reason"), f"Refusals: {', '.join(metrics.REASONS)}."),
    Family("loopwright_other_requests", _COUNTER, ("route", "status"), "Requests for anything but predictions."),
    Family("loopwright_queue", _GAUGE, ("loop",), "Requests that wait for their turn, or are at work."),
    Family("loopwright_connections", _GAUGE, (), "Open connections."),
    Family("loopwright_invalid", _COUNTER, ("loop",), "Answers withheld, for the model gave no number."),
    Family("loopwright_hangs", _COUNTER, ("loop",), "Runs of a model that were stopped, for they took too long."),
    Family("loopwright_shadow_rows", _COUNTER, ("loop", "outcome"), "Of shadows: done (rows), dropped, failed."),
    Family("loopwright_route", _GAUGE, ("loop", "version", "arm"), "Share of the requests that an arm is given."),
    Family("loopwright_models", _GAUGE, ("loop", "version"), "Workers that have the version loaded."),
    Family("loopwright_model_bytes", _GAUGE, ("loop", "version"), "What the graph of a version holds, in one worker."),
    Family("loopwright_faults", _GAUGE, ("loop",), "Workers that cannot load what the newest route names."),
    Family("loopwright_journal_bytes", _GAUGE, ("loop",), "In journals that are no table yet."),
    Family("loopwright_journal_lag_seconds", _GAUGE, ("loop",), "Age of the oldest journal that is no table yet."),
    Family("loopwright_journal_degraded", _GAUGE, (), "Workers that cannot write predictions."),
    Family("loopwright_journal_refused", _COUNTER, (), "Rows not recorded, and so not answered."),
    Family("loopwright_journal_unrecorded", _COUNTER, (), "Rows not recorded, and answered all the same."),
    Family("loopwright_log_dropped", _COUNTER, (), "Lines of the access log that could not be written in time."),
    Family("loopwright_workers", _GAUGE, (), "Processes that answer."),
    Family("loopwright_process_cpu_seconds", _COUNTER, ("worker",), "Time of the processor, user and system."),
    Family("loopwright_process_memory_bytes", _GAUGE, ("worker",), "Resident memory."),
    Family("loopwright_process_open_files", _GAUGE, ("worker",), "Open files, connections among them."),
    Family("loopwright_process_most_files", _GAUGE, ("worker",), "Files that may be open."),
    Family("loopwright_process_threads", _GAUGE, ("worker",), "Threads."),
    Family("loopwright_gpu_memory_bytes", _GAUGE, ("gpu",), "Memory in use. GPUs: only where pynvml is installed."),
    Family("loopwright_gpu_memory_total_bytes", _GAUGE, ("gpu",), "Memory there is."),
    Family("loopwright_gpu_share", _GAUGE, ("gpu",), "Share of the time that it was busy lately."),
)
