"""The names a gateway answers to. A page of the web whose name was turned to this machine must not speak through it."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
WILDCARDS = frozenset(("", "0.0.0.0", "::"))  # noqa: S104 - to know them, not to bind to them
_MOST = 256
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::[0-9]{0,5})?", re.IGNORECASE)
"""A scheme, a host and a port, and nothing that somebody else could read as more (RFC 3986, narrowed)."""


class Names:
    """Loopback, and what else is allowed: the address that is bound to, and the setting `allowed_hosts`.

    >>> names = Names(["gateway.example"])
    >>> [names.has(host) for host in ("127.0.0.1:8080", "Gateway.Example", "evil.example", "me@localhost", "")]
    [True, True, False, False, False]
    >>> names.has("10.0.0.7:8080", "10.0.0.7"), names.has("10.0.0.7", "10.0.0.8")
    (True, False)
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = LOOPBACK | {name.strip().strip("[]").lower() for name in allowed} - WILDCARDS
        self._seen: set[tuple[str, str | None]] = set()

    def has(self, host: str, local: str | None = None) -> bool:
        """Whether the header `Host` names this gateway. `local` is the address that the connection came in at: who
        binds to every address is asked by each of them."""
        asked = host, local
        if asked in self._seen:
            return True
        name = hostname(f"//{host}")
        if name is None or (name not in self._allowed and name != local):
            return False
        if len(self._seen) < _MOST:  # ports and cases that are met make few of these, unless somebody plays
            self._seen.add(asked)
        return True


def hostname(url: str) -> str | None:
    """In small letters; None for what names none, or more than one.

    >>> hostname("//[::1]:8080"), hostname("http://LocalHost"), hostname("//localhost@evil.example"), hostname("null")
    ('::1', 'localhost', None, None)
    >>> [hostname(f"//localhost{more}") for more in ("/evil", "#.evil.example", "?.evil.example", ":abc")]
    [None, None, None, None]
    """
    found = _ADDRESS.fullmatch(url)
    return (found[1] or found[2]).lower() if found else None


def listed(text: str) -> list[str]:
    """Of a setting: names between commas.

    >>> listed("gateway.example, 10.0.0.7,")
    ['gateway.example', '10.0.0.7']
    """
    return [name.strip() for name in text.split(",") if name.strip()]
