"""Widths of weights and activations: the program's answer is the best of all selections, tried one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewright.numerics.width_program import Activation, Bridge, Choice, WidthProgram, best_widths


def random_program(seed: int, layers: int = 5) -> WidthProgram:
    """A chain with a shortcut; the last layer has no wide form."""
    random = np.random.default_rng(seed)
    found = []
    for layer in range(layers):
        size, work = random.integers(10, 100), random.integers(5, 50)
        choices = []
        for bits, wide in itertools.product((2, 8), (False, True)):
            if not wide or layer < layers - 1:
                time = float(work * (1 + wide) + (3 if bits == 2 else 0))
                choices.append(Choice(float(size * bits), time, float(random.random() * 4.0**-bits), wide))
        found.append(tuple(choices))
    pairs = [(layer, layer + 1) for layer in range(layers - 1)] + [(0, 2, 3)]
    activations = tuple(Activation(float(random.random() * 0.1), pair) for pair in pairs)
    bridges = tuple(Bridge(float(random.integers(1, 6)), pair[0], pair[1:]) for pair in pairs)
    return WidthProgram(tuple(found), activations, bridges)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tight", [0.2, 0.5, 0.8])
def test_no_other_selection_is_better(seed: int, tight: float) -> None:
    program = random_program(seed)
    never = (frozenset({1, 2}),)
    every = [program.judged(picks) for picks in itertools.product(*(range(len(choices)) for choices in program.layers))]
    every = [widths for widths in every if not never[0] <= program.wide_layers(widths)]
    sizes, times = ([getattr(widths, name) for widths in every] for name in ("bytes", "time"))
    most_bytes, most_time = (min(numbers) + tight * (max(numbers) - min(numbers)) for numbers in (sizes, times))
    found = best_widths(program, most_bytes, most_time, never)
    allowed = [widths for widths in every if widths.bytes <= most_bytes and widths.time <= most_time]
    assert found is not None and found.bytes <= most_bytes and found.time <= most_time
    assert not never[0] <= program.wide_layers(found)
    assert found.loss <= min(widths.loss for widths in allowed) * (1 + 1e-3) + 1e-5
    assert found.gap <= 1e-4


def test_nothing_is_spent_where_nothing_is_gained() -> None:
    choices = (Choice(8, 10), Choice(8, 20, wide=True))
    program = WidthProgram((choices, choices), (Activation(0.0, (0, 1)),), (Bridge(1, 0, (1,)),))
    found = best_widths(program)
    assert found is not None and found.picks == (0, 0) and found.time == 20


def test_what_cannot_be_is_none() -> None:
    assert best_widths(random_program(0), most_bytes=1.0) is None
