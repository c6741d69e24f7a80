"""Where a request of the hot path goes that is not plainly right, and how its protocol refuses one."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from loopwright.errors import StoreError
from loopwright.gateway.answering import Outcome
from loopwright.gateway.refused import Refused
from loopwright.protocols import door


class Plain:
    """What the endpoint under `path` would answer, as the hot path writes it."""

    def __init__(self, path: str, answer: Callable[[str, bytes], Response]) -> None:
        """`answer` is given a loop and a body, and raises `Refused` or `StoreError`."""
        self._path = path
        self._answer = answer

    def plainly(self, loop: str, content: bytes) -> Outcome:
        try:
            return _outcome(self._answer(loop, content))
        except Refused as refused:
            return self.refusal(refused)
        except StoreError as error:
            return self.refusal(door.unrecorded(error))

    def refusal(self, refused: Refused) -> Outcome:
        return _outcome(door.told(refused, self._path))


def _outcome(answer: Response) -> Outcome:
    own = (b"content-length", b"content-type")
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers if name not in own)
    kind = answer.headers["content-type"].encode("latin-1")
    return Outcome(answer.status_code, bytes(answer.body), headers=headers, type=kind)
