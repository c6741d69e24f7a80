"""What the gateway will not answer, as an exception that knows its status; `door` turns it into the answer."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.gateway.decode import Problem, Problems


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
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.where = where
        self.fix = fix
        self.problems = tuple(problems)
        self.retry_seconds = retry_seconds
        """When to ask again, where that is known: the header `Retry-After`."""


def unfit(problems: Problems, what: str) -> Refused:
    """The refusal of rows or labels with problems."""
    count = "1 value does" if len(problems.listed) == 1 else f"{len(problems.listed)} values do"
    return Refused(
        422,
        f"{count if problems.is_all else f'at least {count}'} not fit {what}",
        fix="send for every column what `problems` expects; GET /openapi.json has an example",
        problems=problems.listed,
    )
