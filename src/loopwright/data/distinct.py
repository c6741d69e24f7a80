"""How many different values: HyperLogLog over a hash of our own, which no version and no machine changes.

2**12 registers: the standard error is 1.6 %, and merging is exact (the larger of two registers). Flajolet et al.
(2007), with Ertl's estimator (arXiv:1702.01284), which needs no table of corrections.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loopwright.data.packed import pack, unpack

Hashes = NDArray[np.uint64]

_INDEX_BITS = 12
REGISTERS = 1 << _INDEX_BITS
_RANKS = 64 - _INDEX_BITS
_LARGEST = np.array([0xFFFF_FFFF_FFFF_FFFF >> rank for rank in range(_RANKS + 2)], dtype=np.uint64)
"""By register: only hashes up to this can raise it."""
_STEP, _ONE, _TWO = (np.uint64(one) for one in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFT_ONE, _SHIFT_TWO, _SHIFT_THREE = np.uint64(30), np.uint64(27), np.uint64(31)
_LONG_BYTES = 64
"""Texts longer than this are hashed one by one."""


class Distinct:
    """Registers that remember, of the hashes they saw, the longest run of leading zeros."""

    __slots__ = ("registers",)

    def __init__(self) -> None:
        self.registers = np.zeros(REGISTERS, dtype=np.uint8)

    def add(self, hashes: Hashes) -> None:
        """Hashes that cannot raise a register are told apart by one look: nearly all, once there were some."""
        at = slots(hashes)
        new = np.flatnonzero(hashes <= _LARGEST[self.registers].take(at))
        if len(new):
            rest = (hashes[new] >> np.uint64(_INDEX_BITS)).astype(np.float64)
            ranks = _RANKS + 1 - np.frexp(rest)[1]
            np.maximum.at(self.registers, at[new], ranks.astype(np.uint8))

    def merge(self, other: Distinct) -> None:
        np.maximum(self.registers, other.registers, out=self.registers)

    def estimate(self) -> int:
        """Standard error 1.6 % of the truth; under a hundred nearly always exact."""
        counts = np.bincount(self.registers, minlength=_RANKS + 2)
        z = REGISTERS * _tau(1 - counts[_RANKS + 1] / REGISTERS)
        for rank in range(_RANKS, 0, -1):
            z = 0.5 * (z + counts[rank])
        z += REGISTERS * _sigma(counts[0] / REGISTERS)
        return round(REGISTERS * REGISTERS / (2 * math.log(2)) / z) if math.isfinite(z) else 0

    def to_text(self) -> str:
        return pack(self.registers)

    @classmethod
    def from_text(cls, text: str) -> Distinct:
        made = cls()
        registers = unpack(text)
        if registers.shape != (REGISTERS,) or registers.max() > _RANKS + 1 or registers.min() < 0:
            raise ValueError("these are no registers")
        made.registers = registers.astype(np.uint8)
        return made


def slots(hashes: Hashes) -> NDArray[np.int64]:
    """The register of each."""
    return (hashes & np.uint64(REGISTERS - 1)).view(np.int64)


def hash_numbers(numbers: NDArray[np.int64] | NDArray[np.float64]) -> Hashes:
    """splitmix64 of their bits."""
    return _mixed(numbers.view(np.uint64) + _STEP)


def hash_texts(texts: Sequence[str]) -> Hashes:
    """As `hash_utf8`.

    >>> [hex(one) for one in hash_texts(["", "UA", "a text of more than eight bytes"])]
    ['0xe220a8397b1dcdaf', '0xb0b6104a0262f3e', '0xcaaf0a0931be6d64']
    """
    contents = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([0, *map(len, contents)], dtype=np.int64)
    return hash_utf8(ends, np.frombuffer(b"".join(contents), dtype=np.uint8))


def hash_utf8(ends: NDArray[np.int64], content: NDArray[np.uint8]) -> Hashes:
    """Of texts that lie end to end: number i from `ends[i]` to `ends[i + 1]`. A chain of splitmix64 over words of eight
    bytes, the length first; of more than 64 bytes BLAKE2b."""
    starts, sizes = ends[:-1], np.diff(ends)
    hashes = _mixed(sizes.astype(np.uint64) + _STEP)
    padded = np.concatenate([content[ends[0] : ends[-1]], np.zeros(8, dtype=np.uint8)]) if len(ends) > 1 else content
    for word in range(-(-min(int(sizes.max(initial=0)), _LONG_BYTES) // 8)):
        at = np.flatnonzero((sizes > 8 * word) & (sizes <= _LONG_BYTES))
        begins, left = starts[at] - ends[0] + 8 * word, np.minimum(sizes[at] - 8 * word, 8)
        words = padded[begins[:, None] + np.arange(8)].view("<u8").reshape(-1)
        words = words & (np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> (np.uint64(8) * (8 - left).astype(np.uint64)))
        hashes[at] = _mixed((hashes[at] ^ words) + _STEP)
    for one in np.flatnonzero(sizes > _LONG_BYTES):
        text = content[starts[one] : starts[one] + sizes[one]].tobytes()
        hashes[one] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return hashes


def _mixed(numbers: Hashes) -> Hashes:
    """In place: the array is ours."""
    other = numbers >> _SHIFT_ONE
    numbers ^= other
    numbers *= _ONE
    np.right_shift(numbers, _SHIFT_TWO, out=other)
    numbers ^= other
    numbers *= _TWO
    np.right_shift(numbers, _SHIFT_THREE, out=other)
    numbers ^= other
    return numbers


def _sigma(share: float) -> float:
    if share == 1.0:
        return math.inf
    power, total, weight = share, share, 1.0
    while True:
        power *= power
        before, total = total, total + power * weight
        weight += weight
        if total == before:
            return total


def _tau(share: float) -> float:
    if share in (0.0, 1.0):
        return 0.0
    power, total, weight = share, 1 - share, 1.0
    while True:
        power = math.sqrt(power)
        weight *= 0.5
        before, total = total, total - (1 - power) ** 2 * weight
        if total == before:
            return total / 3
