"""What the gateway will not answer, as an exception that knows its status; `door` turns it into the answer."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.serve.decode import Problem, Problems


class Refused(Exception):
    """A request that gets no answer but this. Holds nothing that a client may not see."""

    def __init__(
        self,
        status: int,
        what: str,
        *,
        fix: str | None = None,
        where: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.where = where
        self.fix = fix
        self.problems = tuple(problems)


def unfit(problems: Problems, what: str) -> Refused:
    """The refusal of rows or labels with problems."""
    some = f"; these are the first {len(problems.listed)}" if problems.total > len(problems.listed) else ""
    count = "1 value does" if problems.total == 1 else f"{problems.total:,} values do"
    return Refused(
        422,
        f"{count} not fit {what}{some}",
        fix="send for every column what `problems` expects; GET /openapi.json has an example",
        problems=problems.listed,
    )
