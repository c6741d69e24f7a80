"""Data to try Loopwright with, and the loop file that goes with it. Nothing heavy may be imported here."""

from __future__ import annotations

from pathlib import Path


def loop_file() -> Path:
    """The demo's loop file: beside this module where the package is installed, in `examples` of a checkout."""
    here = Path(__file__).parent
    installed = here / "loop.py"
    return installed if installed.is_file() else here.parents[2] / "examples" / "flights.py"
