"""Masks, patterns and codebooks stay what they are through every recipe, and down to the integers."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.pipeline import run_recipe
from edgewright.recipe import RECIPES
from edgewright.steps import integer_graph, is_integer
from edgewright.targets.target import load_target
from tests.contract.animals import original
from tests.zoo import zoo_inputs

ANIMALS = ("conv_same_relu", "residual_batch_norm", "inverted_bottleneck", "dense_autoencoder", "separable_keyword_spotter")
CLUSTERS = 8
KEEPING = ("clean", "w8a8", "w8a8-rounded", "w4a8", "w4a4", "mixed", "binary-a8", "float16", "dynamic")
"""Recipes that neither train nor change the shape of a weight."""


def context(graph: Graph) -> Context:
    return Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 32))), target=load_target("cortex-m4"))


def structured(graph: Graph) -> Graph:
    graph = find_pass("prune_weights").function(graph, context(graph), pattern="2:4")
    graph = find_pass("prune_weights").function(graph, context(graph), sparsity=0.6)
    return find_pass("cluster_weights").function(graph, context(graph), clusters=CLUSTERS)


def weights(graph: Graph) -> dict[str, str]:
    """Layer → its weight."""
    found = {node.name: node.inputs[index] for node in graph.nodes for index in node.op.weight_inputs}
    return {layer: weight for layer, weight in found.items() if weight in graph.constants}


@pytest.mark.parametrize("recipe", KEEPING)
@pytest.mark.parametrize("name", ANIMALS)
def test_a_recipe_keeps_structures(name: str, recipe: str) -> None:
    before = structured(original(name))
    after = run_recipe(before, RECIPES[recipe], context(before))
    if is_integer(after):
        after = integer_graph(after, load_target("cortex-m4"), context(before))
    old, new = weights(before), weights(after)
    assert set(new) <= set(old)
    held = 0
    for layer, weight in new.items():
        first, last = before.constants[old[layer]], after.constants[weight]
        if first.structure is None or last.array.shape != first.array.shape:
            continue
        held += 1
        assert last.structure is not None, f"{layer} lost its structure"
        if first.structure.mask is not None:
            np.testing.assert_array_equal(last.structure.mask, first.structure.mask)
            assert not last.array[~first.structure.mask].any(), f"zeros of {layer} came back"
        assert last.structure.pattern == first.structure.pattern
        if first.structure.codebook is not None:
            book = np.asarray(last.structure.codebook)
            assert book.shape[-1] <= CLUSTERS
            if after.level.value == "integer":
                assert book.ndim == 1, "channels have different integers"
                assert len(np.unique(last.array)) <= CLUSTERS
                assert np.isin(last.array, book).all()
    assert held
