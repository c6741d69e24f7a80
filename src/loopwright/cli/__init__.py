"""The command `lw`. Modules here read words, call what is below, and print; they decide nothing."""

from __future__ import annotations

from loopwright.cli.words import main

__all__ = ["main"]
