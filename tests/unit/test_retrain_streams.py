"""Small streams that change: what the detector, the triggers and the gate make of them, with wide bounds."""

from __future__ import annotations

import numpy as np
import pytest
from bench import streams
from bench.drawn_streams import agrawal, harmless, rbf, sine, stagger

ROWS = 20_000


def test_a_reversal_is_learned_again_and_blind_ways_do_worse() -> None:
    drawn = sine(np.random.default_rng(0), ROWS)
    ours, never = streams.watched(*drawn), streams.never(*drawn)
    blind, moved = streams.every_so_often(*drawn), streams.when_inputs_move(*drawn)
    assert never.accuracy == moved.accuracy < 0.55  # the inputs stay as they are
    assert moved.promoted == 0
    assert ours.accuracy > 0.6
    assert ours.promoted <= 4 < blind.promoted


@pytest.mark.parametrize("draw", [stagger, agrawal])
def test_every_change_of_the_concept_is_learned_once(draw: streams.Draw) -> None:
    drawn = draw(np.random.default_rng(0), ROWS)
    ours, never = streams.watched(*drawn), streams.never(*drawn)
    assert ours.accuracy > never.accuracy + 0.1
    assert 2 <= ours.promoted <= 4


@pytest.mark.parametrize("draw", [rbf, harmless])
def test_where_what_decides_stays_no_challenger_is_promoted(draw: streams.Draw) -> None:
    drawn = draw(np.random.default_rng(0), ROWS)
    ours, never = streams.watched(*drawn), streams.never(*drawn)
    assert (ours.promoted, ours.accuracy) == (0, never.accuracy)
