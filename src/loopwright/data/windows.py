"""Windows over what comes in: pieces are gathered until there are rows enough, then compared with the reference.

Every window is compared with the same reference, and knows what was said of the one before: a column has drifted when
two in a row say so. Pieces are not cut, so a window ends with the piece that fills it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from loopwright.data.drift import LEAST_ROWS, drift
from loopwright.data.drifted import Drift
from loopwright.data.profile import Profile, merged
from loopwright.errors import DataError

FORMAT = 1
Compare = Callable[[Profile, Profile, Drift | None], Drift]
"""Reference, window, and what was said of the window before."""


class Windows:
    """A window that fills, and the answer to the last one that was full.

    >>> reference, piece = Profile({"late": "boolean"}), Profile({"late": "boolean"})
    >>> reference.update({"late": [True, False] * 1000})
    >>> piece.update({"late": [True, True, False] * 200})
    >>> windows = Windows(reference)
    >>> [answer and str(answer.standing) for answer in map(windows.add, [piece] * 4)]
    [None, 'suspected', None, 'drifted']
    """

    def __init__(self, reference: Profile, *, rows: int = LEAST_ROWS, compare: Compare | None = None) -> None:
        if rows < 1:
            raise DataError(f"a window of {rows} rows never fills", fix=f"give rows={LEAST_ROWS}, or more")
        self.reference, self.rows = reference, rows
        self._compare = compare or _drift
        self.open: Profile | None = None
        """What was gathered since the last full one."""
        self.last: Drift | None = None

    def add(self, piece: Profile) -> Drift | None:
        """An answer when this piece fills the window. The piece itself does not change."""
        if self.open is None:
            self.open = merged([piece])
        else:
            self.open.merge(piece)
        if self.open.rows < self.rows:
            return None
        full, self.open = self.open, None
        self.last = self._compare(self.reference, full, self.last)
        return self.last

    def look(self) -> Drift | None:
        """At the open window as it is, however few its rows; nothing is remembered of it. None for an empty one."""
        return None if self.open is None else self._compare(self.reference, self.open, self.last)

    def to_json(self) -> str:
        """All but the reference, which lies with the model."""
        told = {
            "format": FORMAT,
            "rows": self.rows,
            "open": None if self.open is None else self.open.to_json(),
            "last": None if self.last is None else self.last.to_json(),
        }
        return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, reference: Profile, *, compare: Compare | None = None) -> Windows:
        """Raises `DataError` for text that is none, or of another format."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise DataError(f"the windows have format {found['format']}, not {FORMAT}", fix="begin new ones")
            made = cls(reference, rows=int(found["rows"]), compare=compare)
            made.open = None if found["open"] is None else Profile.from_json(found["open"])
            made.last = None if found["last"] is None else Drift.from_json(found["last"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"the text is no windows: {error!r}", fix="give what Windows.to_json() wrote") from None
        return made


def _drift(reference: Profile, window: Profile, before: Drift | None) -> Drift:
    return drift(reference, window, previous=before)
