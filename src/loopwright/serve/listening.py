"""Where a gateway listens: addresses of this machine, opened once and handed to every worker. Light."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from loopwright.access.names import LOOPBACK
from loopwright.errors import StoreUnavailable, UsageError

EVERYWHERE = "0.0.0.0"  # noqa: S104 - where a platform asks from is its own affair
_BACKLOG = 2048


def listen(host: str, port: int, workers: int = 1, *, option: str = "--port") -> list[socket.socket]:
    """An open port, as one socket a worker among which the system shares connections out; 0 gives a free one.

    `option` is what chose it. Raises `StoreUnavailable` when it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        first = _open((host, port), family)
        if workers == 1:
            return [first]
        address = first.getsockname()[:2]
        first.close()  # who shares a port must say so before it is bound; that it was free is known now
        return [_open(address, family, is_shared=True) for _ in range(workers)]
    except OSError as error:
        raise StoreUnavailable(
            f"the port {port} cannot be had: {os.strerror(error.errno) if error.errno else error.strerror}",
            where=host,
            fix=f"choose another with {option}, or 0 for a free one",
        ) from error


def _open(address: tuple[str, int], family: socket.AddressFamily, *, is_shared: bool = False) -> socket.socket:
    """Nobody ever waits at it, for a worker looks at those of others, too, also before these have begun."""
    made = socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=is_shared)
    made.setblocking(False)
    return made


def reserve(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """A port that several processes are to open, kept for them; 0 gives a free one. Raises as `listen`."""
    (first, *others) = listen(host, port, 2, option=option)
    address = first.getsockname()[:2]
    kept = socket.socket(first.family)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind(address)  # before the others go, so that nobody else gets it
    for one in (first, *others):
        one.close()
    return kept


def refuse_without_keys(host: str, *, has_keys: bool) -> None:
    """Raises `UsageError` for an address that others reach while there is no key."""
    if not is_loopback(host) and not has_keys:
        raise UsageError(
            f"on {host!r} others could ask too, and nobody would be asked for a key: there is none",
            fix="make the first: lw keys make NAME --scope predict; or leave --host out",
        )


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return host in LOOPBACK


def url(opened: Sequence[socket.socket]) -> str:
    host, port = opened[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
