"""A file that says where something is served, from when it is until it ends: `--ready-file`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from loopwright.errors import UsageError


def clear(file: Path) -> None:
    """What another one left there; and see that it can be written. Raises `UsageError`."""
    temporary = _beside(file)
    try:
        temporary.touch()
        temporary.unlink()
        file.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}",
            where="--ready-file",
            fix="name a file in a folder that is there, and yours to write to",
        ) from None


def write(file: Path, url: str) -> None:
    """Whole at once."""
    temporary = _beside(file)
    temporary.write_text(f"{url}\n", encoding="ascii")
    temporary.replace(file)


def take_away(file: Path, url: str) -> None:
    """Unless another one has written it meanwhile."""
    with suppress(OSError):
        if file.read_text(encoding="ascii").strip() == url:
            file.unlink()


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}-{os.getpid()}")
