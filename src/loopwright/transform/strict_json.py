"""JSON as a stranger may have sent it, read by the standard library alone: the runner at the edge has nothing else.

What two readers could understand differently, or no writer could write again, is refused: NaN, infinities, numbers
beyond the range of floats, halves of surrogate pairs.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


class NoJson(ValueError):
    """Text that is none."""


def decoded(content: bytes | str) -> Any:
    """The value. Raises `NoJson`.

    >>> decoded(b'{"share": 0.5}')
    {'share': 0.5}
    >>> decoded("[NaN]")
    Traceback (most recent call last):
    loopwright.transform.strict_json.NoJson: NaN is no number
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise NoJson("it is nested too deeply") from None
    except ValueError as error:
        raise NoJson(str(error)) from None
    return found


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        _refuse(text[:40])
    return found


def _refuse(text: str) -> NoReturn:
    raise NoJson(f"{text} is no number")
