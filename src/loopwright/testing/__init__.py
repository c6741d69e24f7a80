"""What Loopwright is tested with, for your tests too: a memory store, a hand-turned clock, conformance suites."""

from loopwright.testing.clock import HandClock
from loopwright.testing.memory import memory_stores

__all__ = ["HandClock", "memory_stores"]
