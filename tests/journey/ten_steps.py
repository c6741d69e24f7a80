"""Ten steps in a chain. Each says when it is done; the one named by DIE_AT is killed in its middle, once."""

import os
import signal
from pathlib import Path

import loopwright as lw

HERE = Path(__file__).parent


def work(step: str, value: int) -> int:
    death = HERE / f"died-at-{step}"
    if os.environ.get("DIE_AT") == step and not death.exists():
        death.touch()
        victim = os.environ["VICTIM"]
        if victim == "both":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    with (HERE / "done.txt").open("a") as done:
        done.write(f"{step}\n")
    return value * 3 + len(step)


@lw.step
def s0(start: int = 1) -> int:
    return work("s0", start)


@lw.step
def s1(s0: int) -> int:
    return work("s1", s0)


@lw.step
def s2(s1: int) -> int:
    return work("s2", s1)


@lw.step
def s3(s2: int) -> int:
    return work("s3", s2)


@lw.step
def s4(s3: int) -> int:
    return work("s4", s3)


@lw.step
def s5(s4: int) -> int:
    return work("s5", s4)


@lw.step
def s6(s5: int) -> int:
    return work("s6", s5)


@lw.step
def s7(s6: int) -> int:
    return work("s7", s6)


@lw.step
def s8(s7: int) -> int:
    return work("s8", s7)


@lw.step
def s9(s8: int) -> int:
    return work("s9", s8)


pipeline = lw.Pipeline([s0, s1, s2, s3, s4, s5, s6, s7, s8, s9])
