"""How a peer is asked about rows: `python -m bench.peers.NAME describe PARQUET`, or `... compare FOLDER`.

To describe a file is to read it and to compute whatever the peer calls its statistics or checks, at its quickest
settings. Told, as JSON on the last line: processor time with that of child processes, without imports, and peak memory.

To compare is done for each of a folder's subfolders: `reference.parquet` against each of its windows. Told: for each
subfolder and window, by the name of a rule, the columns that the peer says have drifted.
"""

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Flagged = Mapping[str, list[str]]
"""Columns, by the rule that flags them."""


def answer(
    describe: Callable[[Path], object], compare: Callable[[Path, list[Path]], list[Flagged]] | None = None
) -> None:
    what, name = sys.argv[1:]
    if what == "describe":
        before = _seconds()
        kept = describe(Path(name))
        told = {"seconds": _seconds() - before, "peak_bytes": _peak_bytes()}
        assert kept is not None, "nothing was computed"
        print(json.dumps(told), flush=True)
        return
    assert compare is not None, f"nothing here is asked to {what}"
    folders = sorted(folder for folder in Path(name).iterdir() if folder.is_dir())
    found = {one.name: compare(one / "reference.parquet", sorted(one.glob("window*.parquet"))) for one in folders}
    print(json.dumps(found), flush=True)


def _seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_bytes() -> int:
    """Of this process. Linux hands the peak of whoever started it down with the usual figure, but not with this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
