"""Which values there are and how often each: exact while they are few, of the most frequent beyond that.

Numbers: exact up to 256 different ones; beyond, nothing is told, and the histogram stands for them.

Texts: exact up to 1,024. Beyond, 512 are kept by the rule of Misra and Gries as merged by Agarwal et al. (2012): what
makes up more than a 512th of the rows is among them. A count is never too high, and too low by at most `error` (itself
at most a 512th of the rows); one that was there from the start, as frequent values are, is exact. What the others look
like is told by 64 of all texts, those of the lowest hashes: a fair sample of the different ones, which merges exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.data.distinct import REGISTERS, Distinct, Hashes, hash_numbers, hash_texts, slots
from loopwright.data.histogram import Extra, Tallies, tally, tally_type
from loopwright.data.packed import pack, pack_text, unpack, unpack_text

MOST_NUMBERS = 256
MOST_TEXTS = 1024
KEPT = 512
SAMPLED = 64
_LONGEST = 200
KEPT_WHOLE = 80
"""Characters of a longer text that are kept."""
_SHORTENED = re.compile(r".{80}…#([0-9a-f]{16})", re.DOTALL)
_NO_HASHES = np.zeros(0, dtype=np.uint64)


class FewNumbers:
    """Different numbers, by their 64 bits, while there are at most 256, and how many beyond that."""

    __slots__ = ("_slots", "distinct", "extra", "tallies", "values")

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra
        self.values: NDArray[np.int64] | None = np.zeros(0, dtype=np.int64)
        """Sorted; None once there were too many."""
        self.tallies: Tallies = np.zeros((0, 1 + extra), dtype=tally_type(extra))
        self.distinct = Distinct()
        """Empty until there are too many."""
        self._slots: NDArray[np.int64] | None = None

    def count(self) -> int:
        return len(self.values) if self.values is not None else self.distinct.estimate()

    def add(self, numbers: NDArray[np.int64], extra: Extra | None = None) -> None:
        hashes = hash_numbers(numbers)
        if self.values is not None:
            self._add_few(numbers, hashes, extra)
        if self.values is None:
            self.distinct.add(hashes)

    def add_counted(self, values: NDArray[np.int64], tallies: Tallies) -> None:
        """Different values, each with its tallies."""
        if self.values is None:
            self.distinct.add(hash_numbers(values))
            return
        self._slots = None
        both = np.concatenate([self.values, values])
        found, at = np.unique(both, return_inverse=True)
        if len(found) > MOST_NUMBERS:
            self.values, self.tallies = None, self.tallies[:0]
            self.distinct.add(hash_numbers(both))
            return
        made = np.zeros((len(found), 1 + self.extra), dtype=tally_type(self.extra))
        np.add.at(made, at, np.concatenate([self.tallies, tallies]))
        self.values, self.tallies = found, made

    def merge(self, other: FewNumbers) -> None:
        if other.values is not None:
            self.add_counted(other.values, other.tallies)
            return
        if self.values is not None:
            self.distinct.add(hash_numbers(self.values))
            self.values, self.tallies = None, self.tallies[:0]
        self.distinct.merge(other.distinct)

    def to_dict(self) -> dict[str, Any]:
        if self.values is None:
            return {"registers": self.distinct.to_text()}
        # As differences modulo 2**64: small where values lie close together, and never negative.
        steps = np.diff(self.values.view(np.uint64), prepend=np.uint64(0))
        return {"values": pack(steps), "tallies": [pack(column) for column in self.tallies.T]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], extra: int) -> FewNumbers:
        made = cls(extra)
        if "registers" in found:
            made.values, made.distinct = None, Distinct.from_text(found["registers"])
            return made
        made.values = np.cumsum(unpack(found["values"]).view(np.uint64)).view(np.int64)
        columns = [unpack(one) for one in found["tallies"]]
        made.tallies = np.stack(columns, axis=1).astype(tally_type(extra)).reshape(len(made.values), 1 + extra)
        return made

    def _add_few(self, numbers: NDArray[np.int64], hashes: Hashes, extra: Extra | None) -> None:
        if extra is not None or len(numbers) <= 2 * MOST_NUMBERS:
            self._add_sorted(numbers, extra)
            return
        self._add_sorted(numbers[:MOST_NUMBERS], None)
        rest, at = numbers[MOST_NUMBERS:], slots(hashes[MOST_NUMBERS:])
        if self.values is None:
            return
        table = self._table()
        known = table.take(at) == rest
        if not known.all():
            self._add_sorted(rest[~known], None)
            at = at[known]
        if self.values is not None:
            counts = np.bincount(at, minlength=REGISTERS)
            seen = np.flatnonzero(counts)
            self.tallies[np.searchsorted(self.values, table[seen]), 0] += counts[seen]

    def _add_sorted(self, numbers: NDArray[np.int64], extra: Extra | None) -> None:
        values, at = np.unique(numbers, return_inverse=True)
        if self.values is not None and len(values) > MOST_NUMBERS:
            self.distinct.add(hash_numbers(self.values))
            self.values, self.tallies = None, self.tallies[:0]
        elif self.values is not None and extra is None and np.array_equal(values, self.values):
            self.tallies += tally(at, len(values), extra)
        else:
            kept = self._slots if self.values is not None and np.isin(values, self.values).all() else None
            self.add_counted(values, tally(at, len(values), extra))
            self._slots = kept

    def _table(self) -> NDArray[np.int64]:
        """By slot, a value that belongs there; else a number that does not."""
        if self._slots is None:
            table = np.zeros(REGISTERS, dtype=np.int64)
            table[slots(hash_numbers(np.zeros(1, dtype=np.int64)))] = 1
            values = np.zeros(0, dtype=np.int64) if self.values is None else self.values
            table[slots(hash_numbers(values))] = values
            self._slots = table
        return self._slots


class FrequentTexts:
    """Texts by their hashes. Columns of `tallies`: rows since it was first kept, the extra sums."""

    __slots__ = ("distinct", "error", "extra", "hashes", "ranks", "sample", "tallies", "texts")

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra
        self.hashes: Hashes = _NO_HASHES
        """Sorted."""
        self.tallies: Tallies = np.zeros((0, 1 + extra), dtype=tally_type(extra))
        self.ranks = np.zeros(0, dtype=np.int64)
        """What the rule of Misra and Gries counts: at most the rows."""
        self.texts: NDArray[np.object_] = np.zeros(0, dtype=object)
        self.error = 0
        self.distinct: Distinct | None = None
        """Once there were too many."""
        self.sample = Sample()
        """Empty until there are too many."""

    def count(self) -> int:
        return self.distinct.estimate() if self.distinct is not None else len(self.hashes)

    def add(self, hashes: Hashes, tallies: Tallies, texts: Callable[[NDArray[np.int64]], Sequence[str]]) -> None:
        """Different texts with their tallies; `texts` gives those at some places, as they are needed."""
        if self.distinct is not None:
            self.distinct.add(hashes)
            self.sample.add(hashes, texts)
        at = np.searchsorted(self.hashes, hashes)
        known = self.hashes.take(np.minimum(at, max(len(self.hashes) - 1, 0))) == hashes if len(self.hashes) else None
        new = np.arange(len(hashes)) if known is None else np.flatnonzero(~known)
        if known is not None:
            self.tallies[at[known]] += tallies[known]
            self.ranks[at[known]] += tallies[known, 0].astype(np.int64)
        if len(new):
            self._insert(hashes[new], tallies[new], tallies[new, 0].astype(np.int64), new, texts)

    def merge(self, other: FrequentTexts) -> None:
        if other.distinct is not None:
            self._give_up().merge(other.distinct)
            self.sample.add(other.sample.hashes, lambda places: other.sample.texts[places].tolist())
        elif self.distinct is not None:
            self.distinct.add(other.hashes)
            self.sample.add(other.hashes, lambda places: other.texts[places].tolist())
        self.error += other.error
        at = np.searchsorted(self.hashes, other.hashes)
        known = np.isin(other.hashes, self.hashes)
        self.tallies[at[known]] += other.tallies[known]
        self.ranks[at[known]] += other.ranks[known]
        new = np.flatnonzero(~known)
        self._insert(
            other.hashes[new], other.tallies[new], other.ranks[new], new, lambda places: other.texts[places].tolist()
        )

    def most(self, count: int) -> list[int]:
        """Places of the most frequent, most frequent first; texts of the same count by their hash."""
        return list(np.lexsort((self.hashes, -self.tallies[:, 0]))[:count].tolist())

    def to_dict(self) -> dict[str, Any]:
        order = np.lexsort((self.hashes, -self.tallies[:, 0]))
        told: dict[str, Any] = {
            "texts": _joined(self.texts[order]),
            "tallies": [pack(column) for column in self.tallies[order].T],
        }
        if self.distinct is not None:
            short = self.tallies[order, 0].astype(np.int64) - self.ranks[order]
            told |= {"error": self.error, "short": pack(short), "registers": self.distinct.to_text()}
            told["sample"] = _joined(self.sample.texts)
        return told

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], extra: int) -> FrequentTexts:
        made = cls(extra)
        columns = [unpack(one) for one in found["tallies"]]
        tallies = np.stack(columns, axis=1).astype(tally_type(extra))
        texts = _split(found["texts"]) if len(tallies) else []
        if tallies.shape != (len(texts), 1 + extra):
            raise ValueError(f"{len(texts)} texts with tallies of {tallies.shape}")
        hashes = _hashes(texts)
        order = np.argsort(hashes)
        made.hashes, made.tallies = hashes[order], tallies[order]
        made.texts = _objects(texts)[order]
        short = unpack(found["short"]) if "short" in found else np.zeros(len(texts), dtype=np.int64)
        made.ranks = made.tallies[:, 0].astype(np.int64) - short[order]
        made.error = int(found.get("error", 0))
        made.distinct = Distinct.from_text(found["registers"]) if "registers" in found else None
        if "sample" in found:
            sampled = _split(found["sample"])
            made.sample.add(_hashes(sampled), lambda places: [sampled[one] for one in places.tolist()])
        return made

    def _insert(
        self,
        hashes: Hashes,
        tallies: Tallies,
        ranks: NDArray[np.int64],
        places: NDArray[np.int64],
        texts: Callable[[NDArray[np.int64]], Sequence[str]],
    ) -> None:
        """Those that were not there, and then no more than may be kept. Only what stays is made text."""
        both = np.concatenate([self.ranks, ranks])
        if self.distinct is None and len(both) > MOST_TEXTS:
            self._give_up().add(hashes)
            self.sample.add(hashes, lambda at: texts(places[at]))
        drop = int(np.partition(both, -KEPT - 1)[-KEPT - 1]) if self.distinct is not None and len(both) > KEPT else 0
        self.error += drop
        old, new = self.ranks > drop, ranks > drop
        made = [shorten(one, int(h)) for one, h in zip(texts(places[new]), hashes[new], strict=True)]
        merged = np.concatenate([self.hashes[old], hashes[new]])
        order = np.argsort(merged)
        self.hashes = merged[order]
        self.tallies = np.concatenate([self.tallies[old], tallies[new]])[order]
        self.ranks = np.concatenate([self.ranks[old], ranks[new]])[order] - drop
        self.texts = np.concatenate([self.texts[old], _objects(made)])[order]

    def _give_up(self) -> Distinct:
        """From here on not all are counted, but how many there are is estimated."""
        if self.distinct is None:
            self.distinct = Distinct()
            self.distinct.add(self.hashes)
            self.sample.add(self.hashes, lambda places: self.texts[places].tolist())
        return self.distinct


class Sample:
    """The texts of the lowest hashes, at most 64: whatever the order they came in, the same ones."""

    __slots__ = ("hashes", "texts")

    def __init__(self) -> None:
        self.hashes: Hashes = _NO_HASHES
        """Sorted."""
        self.texts: NDArray[np.object_] = np.zeros(0, dtype=object)

    def add(self, hashes: Hashes, texts: Callable[[NDArray[np.int64]], Sequence[str]]) -> None:
        """Different ones; only those that stay are made text."""
        is_full = len(self.hashes) == SAMPLED
        low = np.flatnonzero(hashes < self.hashes[-1]) if is_full else np.arange(len(hashes))
        new = low[~np.isin(hashes[low], self.hashes)] if len(low) else low
        if len(new):
            new = new[np.argsort(hashes[new])[:SAMPLED]]
            made = [shorten(one, int(h)) for one, h in zip(texts(new), hashes[new], strict=True)]
            both = np.concatenate([self.hashes, hashes[new]])
            order = np.argsort(both)[:SAMPLED]
            self.hashes, self.texts = both[order], np.concatenate([self.texts, _objects(made)])[order]


def shorten(text: str, hashed: int) -> str:
    """A long text as its beginning and its hash, which tell it from others.

    >>> len(shorten("a" * 1000, 7))
    98
    """
    return f"{text[:KEPT_WHOLE]}…#{hashed:016x}" if len(text) > _LONGEST or is_shortened(text) else text


def is_shortened(text: str) -> bool:
    return _SHORTENED.fullmatch(text) is not None


def _hashes(texts: Sequence[str]) -> Hashes:
    hashes = hash_texts(texts)
    for at, text in enumerate(texts):
        if shortened := _SHORTENED.fullmatch(text):
            hashes[at] = int(shortened[1], 16)
    return hashes


def _joined(texts: NDArray[np.object_]) -> str:
    return pack_text("\0".join(text.replace("\\", "\\\\").replace("\0", "\\0") for text in texts))


def _split(packed: str) -> list[str]:
    return [re.sub(r"\\(.)", lambda m: "\0" if m[1] == "0" else m[1], one) for one in unpack_text(packed).split("\0")]


def _objects(texts: Sequence[str]) -> NDArray[np.object_]:
    made = np.empty(len(texts), dtype=object)
    made[:] = texts
    return made
