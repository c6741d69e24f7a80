"""Where a request ends: told by its head, and counted here before the parser meets it.

The parser is given the bytes of one request at a time. What two readers could read in two ways (RFC 9112, section 11.2)
is refused, for behind a proxy that reads it otherwise, the body of one would be the request of another.
"""

from __future__ import annotations

import re
from typing import Protocol

_TOLD = re.compile(rb"\n(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
_ODD_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]")
"""A line that ends in half an end, or goes on in the next."""
_LENGTH = re.compile(rb"\d{1,18}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})([ \t]*;[^\r\n]*)?\r\n")
_MOST_LINE = 4096
_MOST_BESIDE = 65_536
"""Bytes of a chunked body that are neither content nor sizes."""


class Body(Protocol):
    """What of the bytes that come is still of this request."""

    @property
    def is_done(self) -> bool: ...

    def take(self, data: bytes) -> tuple[bytes, int]:
        """What the parser is given, and how many bytes that was here. Raises ValueError for what is no such body."""
        ...


class Sized:
    """A body whose length was told.

    >>> body = Sized(5)
    >>> body.take(b"one"), body.take(b"two"), body.is_done
    ((b'one', 3), (b'tw', 2), True)
    """

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def take(self, data: bytes) -> tuple[bytes, int]:
        given = data[: self._left]
        self._left -= len(given)
        return given, len(given)


class Chunks:
    """A body in chunks. Trailers are dropped: they must not become headers once the request was let in by these.

    >>> Chunks().take(b"2\\r\\nab\\r\\n0\\r\\nAuthorization: me\\r\\n\\r\\nGET /")
    (b'2\\r\\nab\\r\\n0\\r\\n\\r\\n', 31)
    """

    __slots__ = ("_beside", "_is_last", "_line", "_skip", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._is_last = False
        """The chunk of no bytes was there: trailers come."""
        self._skip = self._beside = 0
        self._line = b""
        """The part of a line that came already."""

    def take(self, data: bytes) -> tuple[bytes, int]:
        at = given = 0
        while at < len(data) and not self.is_done:
            is_trailing = self._is_last
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
            else:
                at = self._read_line(data, at)
            given = given if is_trailing else at
        return data[:given] + (b"\r\n" if self.is_done else b""), at

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        line = self._line + data[at:end]
        if len(line) > _MOST_LINE:
            raise ValueError("A line between the chunks of the body is too long.")
        self._line = b"" if line.endswith(b"\n") else line
        if not self._line:
            self._settle(line)
        return end

    def _settle(self, line: bytes) -> None:
        if self._is_last:
            self.is_done = line == b"\r\n"
            self._beside += len(line)
        else:
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise ValueError("The body is not in chunks as it says.")
            self._skip = int(size[1], 16) + 2 if int(size[1], 16) else 0  # with the end of its line
            self._is_last = not self._skip
            self._beside += len(size[2] or b"")
        if self._beside > _MOST_BESIDE:
            raise ValueError("The body has too much beside its content.")


def body(head: bytes) -> Body:
    """What comes behind a head. Raises ValueError, with a sentence for the client, where that cannot be told surely.

    >>> body(b"GET / HTTP/1.1\\r\\n\\r\\n").is_done, body(b"POST / HTTP/1.1\\r\\nContent-Length: 7\\r\\n\\r\\n").is_done
    (True, False)
    """
    if _ODD_LINE.search(head):
        raise ValueError("A line of the head is broken.")
    if head.lstrip(b"\r\n").startswith(b"CONNECT "):
        raise ValueError("This is no proxy.")
    told = [(name.lower(), value.strip(b" \t")) for name, value in _TOLD.findall(head)]
    if not told:
        return Sized(0)
    if len(told) > 1:
        raise ValueError("The length of the body is told twice.")
    ((name, value),) = told
    if name == b"transfer-encoding":
        if value.lower() != b"chunked":
            raise ValueError("Of transfer encodings, this server knows chunked alone.")
        return Chunks()
    if not _LENGTH.fullmatch(value):
        raise ValueError("The length of the body is no number.")
    return Sized(int(value))


def plain(head: bytes) -> bytes:
    """A head that asks for no other protocol: the wish is not heard, as RFC 9110 allows.

    >>> plain(b"GET / HTTP/1.1\\r\\nHost: me\\r\\nUpgrade: h2c\\r\\n\\r\\n")
    b'GET / HTTP/1.1\\r\\nHost: me\\r\\n\\r\\n'
    """
    return _UPGRADE.sub(b"", head)
