"""Every ordered pair of techniques on three animals: what the first left stands, and C and .tflite give the bytes of the integers.

On real networks: ``python -m benchmarks composition``, which makes the matrix of docs/composition.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.composition import SHRINKING, Outcome, judge, outcomes
from edgewright.data import Data
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES, Recipe
from edgewright.steps import run_recipe
from tests.zoo import ZOO, zoo_inputs

ANIMALS = ("residual_batch_norm", "inverted_bottleneck", "separable_keyword_spotter")
WHOLE = ("kept, same bytes", "does not apply")
UNTRAINED = {name: step for name, step in SHRINKING.items() if step.name not in ("distill", "fine_tune")}


def samples(graph: Graph) -> Data:
    arrays = tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 32))
    return Data(arrays, np.arange(32) % int(graph.value(graph.outputs[0]).shape[-1] or 1))


def check(found: list[Outcome]) -> None:
    wrong = [outcome for outcome in found if outcome.verdict not in WHOLE]
    assert not wrong
    assert sum(outcome.verdict == WHOLE[0] for outcome in found) > len(found) / 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ANIMALS)
def test_pairs_of_techniques(name: str, needs_cc: None, needs_tflite_micro: None) -> None:
    graph = ZOO[name]()
    check(list(outcomes(graph, samples(graph), UNTRAINED, ("w8a8",))))


@pytest.mark.slow
def test_pairs_with_training(needs_cc: None, needs_tflite_micro: None) -> None:
    graph = ZOO["separable_keyword_spotter"]()
    chosen = {name: SHRINKING[name] for name in ("prune weights", "cluster", "distil")}
    check(list(outcomes(graph, samples(graph), chosen, ("w8a8",))))


def test_what_is_lost_is_seen() -> None:
    load_passes()
    graph = ZOO["conv_same_relu"]()
    data = samples(graph)
    pruned = run_recipe(graph, Recipe("p", (*RECIPES["clean"].steps, SHRINKING["prune weights"])), Context(data=data))
    (weight,) = [name for name, constant in pruned.constants.items() if constant.structure is not None][:1]
    filled = rebuild(pruned, constants={weight: Constant(np.full_like(pruned.array(weight), 0.1))})
    assert judge(pruned, filled, "w8a8", data).startswith("lost: zeros")
