"""Functions for other processes to run: they must be importable there."""

import os
import signal
import sys
from pathlib import Path

prepared: list[str] = []


def prepare(word: str) -> None:
    prepared.append(word)


def told(_: int) -> list[str]:
    return prepared


def double(number: int) -> int:
    return 2 * number


class Odd(Exception):
    """Cannot be rebuilt from its message, as many exceptions cannot."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"{number}: {why}")


def refuse_three(number: int) -> int:
    if number == 3:
        raise Odd(number, "is odd")
    return number


def leave(number: int) -> int:
    sys.exit(f"left at {number}")


def die_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def opened(file: Path) -> int:
    return len(file.read_bytes())


def unpicklable(_: int) -> object:
    return lambda: 1
