"""Which versions a process runs at this moment, for who started it to read once it has died of one of them.

A page of memory that both share: what was written there outlives the process, however it ends. Nothing heavy may be
imported, for who starts workers has nothing heavy.
"""

from __future__ import annotations

import mmap

_PLACES, _WIDTH = 32, 128


class AtWork:
    """To be made before the process is. Each run has a place of its own; what is more than there are has none.

    >>> shared = AtWork()
    >>> place = shared.begin("flights", 2)
    >>> shared.versions()
    {'flights:2'}
    >>> shared.end(place)
    >>> shared.versions()
    set()
    """

    __slots__ = ("_free", "_page")

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _PLACES * _WIDTH)
        self._free = list(range(0, _PLACES * _WIDTH, _WIDTH))

    def begin(self, loop: str, version: int) -> int | None:
        """The place to be given back at the end. From any thread."""
        name = b"%s:%d\n" % (loop.encode(), version)
        try:
            place = self._free.pop()
        except IndexError:
            return None
        self._page[place : place + len(name)] = name
        return place

    def end(self, place: int | None) -> None:
        if place is not None:
            self._page[place] = 0
            self._free.append(place)

    def versions(self) -> set[str]:
        """As `loop:version`."""
        whole = bytes(self._page)
        places = [whole[place : place + _WIDTH] for place in range(0, len(whole), _WIDTH)]
        return {one.partition(b"\n")[0].decode() for one in places if one[0]}
