"""Values under the tag `pii`, which never reach the journal: hashed with a key of the workspace's own, or left out.

Equal values of a column give equal hashes within a workspace, so that labels find their predictions by a hashed key and
a person's predictions are found again to be erased; nobody without the key learns or guesses a value. A missing value
stays missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from loopwright.core.clock import new_token
from loopwright.data.schema import Schema
from loopwright.errors import StoreUnavailable

TAG = "pii"
KEY_FILE = "journal.key"
"""Of a workspace. Without it no hash is ever made again."""
PREFIX = "pii:"
_KEY_BYTES = 52
"""As many digits of base 32: 260 bits."""
Mode = Literal["hash", "drop"]


class Concealer:
    """Hides the tagged values of one schema's rows.

    >>> from loopwright.data.schema import Column
    >>> columns = (Column(name="email", kind="string", missing=True, tags=("pii",)), Column(name="x", kind="float",
    ...     missing=False))
    >>> Concealer(Schema(columns=columns), "drop", b"").row({"email": "a@b.c", "x": 1.5})
    {'x': 1.5}
    """

    def __init__(self, schema: Schema, mode: Mode, secret: bytes) -> None:
        self.columns = frozenset((*(one.name for one in schema.columns if TAG in one.tags), *schema.pii))
        """What is hidden. Where it is empty, there is nothing to do."""
        self._mode = mode
        self._secret = secret

    def row(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row, or a key, as it may be written."""
        if self.columns.isdisjoint(row):
            return row
        if self._mode == "drop":
            return {name: value for name, value in row.items() if name not in self.columns}
        return {name: self._hidden(name, value) if name in self.columns else value for name, value in row.items()}

    def key(self, key: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """As `row`; None where nothing is left of it."""
        return (self.row(key) or None) if key else key

    def label_key(self, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The key of a label, as its predictions have it; None where they have it no more, so that it meets none."""
        return None if self._mode == "drop" and not self.columns.isdisjoint(key) else self.row(key)

    def values(self, name: str, values: Sequence[Any]) -> list[Any] | None:
        """A whole column of values as they may be written; None where it is left out."""
        if name not in self.columns:
            return list(values)
        return None if self._mode == "drop" else [self._hidden(name, value) for value in values]

    def _hidden(self, name: str, value: Any) -> str | None:
        return None if value is None else hidden(self._secret, name, value)


def hidden(secret: bytes, name: str, value: Any) -> str:
    """A value's keyed hash, 128 bits of BLAKE2b: of 7 and 7.0 the same, of "7" another.

    >>> hidden(b"k", "age", 7) == hidden(b"k", "age", 7.0) != hidden(b"k", "age", "7")
    True
    """
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    text = json.dumps([name, plain], ensure_ascii=False, default=str)
    return PREFIX + blake2b(text.encode(), key=secret, digest_size=16).hexdigest()


def secret_of(workspace: Path) -> bytes:
    """The workspace's key, made at first use: a file that its owner alone may read.

    Raises `StoreUnavailable` when it can be neither read nor made, or is no key.
    """
    path = workspace / KEY_FILE
    try:
        if not path.exists():
            _make(path, new_token(_KEY_BYTES).encode())
        found = path.read_bytes()
    except OSError as error:
        raise StoreUnavailable(
            f"the key that hides values tagged {TAG} cannot be had: {error.strerror}",
            where=str(path),
            fix="check the rights",
        ) from error
    if len(found) != _KEY_BYTES:
        raise StoreUnavailable(
            f"the key that hides values tagged {TAG} is {len(found)} bytes long, not {_KEY_BYTES}",
            where=str(path),
            fix="put the file back from a copy; under another key no hash agrees with those that are written",
        )
    return found


def _make(path: Path, content: bytes) -> None:
    """Whole or not at all; of several processes at once, the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{new_token(8)}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, content)
        os.fsync(file)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)
