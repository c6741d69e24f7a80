"""Names and values on their way to a terminal: none of them may steer it. Nothing heavy may be imported."""

from __future__ import annotations

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """With what would steer a terminal, or turn a line around, shown as what it is.

    >>> printable("a\\x1b[2Jb\\u202e\\n")
    'a\\\\u001b[2Jb\\\\u202e\\\\n'
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def printable_lines(text: str) -> str:
    """The same, of a text of several lines.

    >>> printable_lines("one\\n\\x1b[31mtwo")
    'one\\n\\\\u001b[31mtwo'
    """
    return "\n".join(map(printable, text.split("\n")))


def _escaped(one: str) -> str:
    """As TOML has it too, so that a line of the schema still says the same."""
    code = ord(one)
    return _ESCAPES.get(one) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
