"""What is wrong with texts, told from them alone: numbers in quotes, broken encodings, categories that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping

_FORMS: Mapping[str, re.Pattern[str]] = {
    # No leading zeros: 01234 is a code, and would be another as a number.
    "whole numbers": re.compile(r"[+-]?(0|[1-9][0-9]*)"),
    "numbers": re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"),
    "numbers with a comma": re.compile(r"[+-]?((0|[1-9][0-9]*),[0-9]+|[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?)"),
    "booleans": re.compile(r"true|false|yes|no", re.IGNORECASE),
    "times": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9:]{4,6})?)?"
    ),
}
_BEGIN = frozenset("0123456789+-. tTfFyYnN")
"""What one of them begins with: most texts begin otherwise."""
KIND_OF: Mapping[str, str] = {
    "whole numbers": "integer", "numbers": "float", "numbers with a comma": "float",
    "booleans": "boolean", "times": "time",
}  # fmt: skip
_LOST = re.compile("[\ufffd\0\ud800-\udfff]")
"""What a decoder puts where bytes were no text, and what no text holds."""
_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4](?:[\u0080-\u00bf]|[\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2026\u2030\u2039\u203a\u20ac\u2122])"
)
"""UTF-8 read as Latin-1 or Windows-1252: the first byte of a character of two or more, and one that can only follow."""


def form(counts: Mapping[str, float]) -> tuple[str, float] | None:
    """What most of the texts would be without quotes, and the share of them that would.

    >>> form({"1": 50, "2.5": 40, "n/a": 10}), form({"UA": 3})
    (('numbers', 0.9), None)
    """
    total = sum(counts.values())
    shares = [(name, _share(counts, pattern) / total) for name, pattern in _FORMS.items()] if total else []
    best = max(shares, key=lambda one: one[1], default=("", 0.0))
    return best if best[1] else None


def _share(counts: Mapping[str, float], pattern: re.Pattern[str]) -> float:
    return sum(count for text, count in counts.items() if text[:1] in _BEGIN and pattern.fullmatch(text.strip()))


def fits(text: str, name: str) -> bool:
    """Whether it is of the form."""
    return _FORMS[name].fullmatch(text.strip()) is not None


def is_invalid(text: str) -> bool:
    """Whether a part was lost when it was decoded, or it holds what no text holds.

    >>> is_invalid("caf\\ufffd"), is_invalid("café")
    (True, False)
    """
    return _LOST.search(text) is not None


def is_mojibake(text: str) -> bool:
    """Whether it is UTF-8 that was read as Latin-1 or Windows-1252.

    >>> is_mojibake("cafÃ©"), is_mojibake("café"), is_mojibake("ÂÊÎ")
    (True, False, False)
    """
    return _MOJIBAKE.search(text) is not None and repaired(text) != text


def repaired(text: str) -> str:
    """The text as it was meant; itself where that cannot be told."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text


def folded(text: str) -> str:
    """What a person would take for the same: without case, accents, spaces and punctuation at the ends and in pairs.
    Signs stay: A and A- are two marks, and -3 is not 3.

    >>> folded(" NYC ") == folded("nyc"), folded("São  Paulo") == folded("sao paulo"), folded("A-1") == folded("A1")
    (True, True, False)
    """
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(one for one in plain if not unicodedata.combining(one))
    return " ".join(text.lower().split()).strip(" .,;:_")


def look_alikes(texts: Collection[str]) -> list[list[str]]:
    """Groups of different texts that a person would take for the same.

    >>> look_alikes(["NYC ", "nyc", "LGA"])
    [['NYC ', 'nyc']]
    """
    keys = [folded(text) for text in texts]
    if len(set(keys)) == len(keys):
        return []
    groups: dict[str, list[str]] = defaultdict(list)
    for key, text in zip(keys, texts, strict=True):
        groups[key].append(text)
    return [sorted(group) for key, group in groups.items() if len(group) > 1 and key]
