"""Predictions by key, as files that are read in place: hashes of keys, sorted, and beside each what was predicted.

    <root>/<loop>/<ulid>/about.json, hashes.npy, label.npy, probabilities.npy, value.npy

A folder appears whole and is never changed; the newest counts. NumPy alone, so that gateways read it: a look-up costs
microseconds, and the processes of a machine share one copy in memory. Keys themselves are not kept: of two that are
different, the hashes (128 bits of BLAKE2b) agree once in 10^38.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from loopwright.core.clock import Clock, new_ulid
from loopwright.errors import DuplicateKeys, StoreUnavailable

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
FOLDER = "precomputed"
"""Of a workspace: the root."""
ABOUT = "about.json"
_COLUMNS = ("label", "probabilities", "value")
_TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the answers are of."""

    loop: str
    version: int
    digest: str
    """Of the bundle: another one does not answer with these."""
    key: tuple[str, ...]
    times: tuple[str, ...] = ()
    """Which of the key's columns are times: in requests they are text."""
    rows: int = 0
    made_at: str = ""


class Answers:
    """One folder, opened. Raises `StoreUnavailable` for what cannot be read."""

    def __init__(self, folder: Path) -> None:
        try:
            said = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.about = About(**said | {"key": tuple(said["key"]), "times": tuple(said["times"])})
            self._first, self._second = _opened(folder, "hashes")
            self.columns: Mapping[str, Array] = {
                name: _opened(folder, name) for name in _COLUMNS if (folder / f"{name}.npy").exists()
            }
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreUnavailable(f"precomputed answers cannot be read: {error}", where=str(folder)) from None

    def place(self, key: Mapping[str, Any]) -> int | None:
        """Where a key's answer stands; None where there is none."""
        about = self.about
        if any(name not in key for name in about.key):
            return None
        first, second = hash_of([key[name] for name in about.key])
        low = int(np.searchsorted(self._first, np.uint64(first)))
        while low < len(self._first) and int(self._first[low]) == first:
            if int(self._second[low]) == second:
                return low
            low += 1
        return None


def hash_of(values: Sequence[Any]) -> tuple[int, int]:
    """Of a key's values: 7 and 7.0 are one, "7" is another; times are aware, or microseconds in `moment`.

    >>> hash_of([7]) == hash_of([7.0]) != hash_of(["7"])
    True
    """
    text = json.dumps([_plain(value) for value in values], ensure_ascii=True)
    digest = blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])


def moment(microseconds: int) -> dict[str, int]:
    """A time as a value of a key."""
    return {_TIME: microseconds}


def write(root: Path, about: About, hashes: Array, columns: Mapping[str, Array], clock: Clock) -> Path:
    """Put answers in place, whole or not at all, and take away older ones. `hashes` is (rows, 2), in any order.

    Raises `DuplicateKeys`, `StoreUnavailable`.
    """
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    if len(ordered) > 1 and (ordered[1:] == ordered[:-1]).all(axis=1).any():
        raise DuplicateKeys(
            f"the key {', '.join(about.key)} stands twice", where=about.loop, fix="give each key one row"
        )
    folder = root / about.loop
    name = new_ulid(
        clock, max((one.name for one in folder.iterdir() if _is_whole(one)), default="") if folder.is_dir() else ""
    )
    hidden = folder / f".{name}-{os.getpid()}"
    try:
        hidden.mkdir(parents=True)
        np.save(hidden / "hashes.npy", np.ascontiguousarray(ordered.T), allow_pickle=False)
        for column, values in columns.items():
            np.save(hidden / f"{column}.npy", np.ascontiguousarray(values[order]), allow_pickle=False)
        (hidden / ABOUT).write_text(json.dumps(asdict(about)), encoding="utf-8")
        hidden.rename(folder / name)
    except OSError as error:
        what = f"precomputed answers cannot be written: {error.strerror or error}"
        raise StoreUnavailable(what, where=str(folder), fix="free some disk space") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    _tidy(folder, name)
    return folder / name


def newest(root: Path) -> dict[str, Path]:
    """The folder that counts, by loop."""
    found: dict[str, Path] = {}
    for folder in root.iterdir() if root.is_dir() else ():
        names = [one for one in folder.iterdir() if _is_whole(one)] if folder.is_dir() else []
        if names:
            found[folder.name] = max(names)
    return found


def forget(root: Path, loop: str) -> bool:
    """Take away the answers of a loop; whether there were any."""
    there = loop in newest(root)
    shutil.rmtree(root / loop, ignore_errors=True)
    return there


def _is_whole(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.is_dir()


def _tidy(folder: Path, newest_name: str) -> None:
    """Who has an older one open reads on: the system keeps it until it is closed."""
    for one in folder.iterdir():
        if one.name < newest_name and _is_whole(one):
            shutil.rmtree(one, ignore_errors=True)


def _opened(folder: Path, name: str) -> Array:
    found: Array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, datetime):
        return moment(round(value.timestamp() * 1_000_000))
    return value
