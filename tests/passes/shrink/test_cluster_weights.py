"""Codebooks: how many values, how good they are, and what they do with zeros."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from tests.passes.shrink.test_prune_weights import network, prune


def cluster(graph: Graph, ctx: Context | None = None, **options: object) -> Graph:
    return find_pass("cluster_weights").function(graph, ctx or Context(), **options)


def test_a_layer_has_as_many_values_as_its_codebook():
    before, ctx = network(), Context()
    after = cluster(before, ctx, clusters=8)
    for name in ("first", "depthwise", "last"):
        book = after.constants[name].structure.codebook
        np.testing.assert_array_equal(np.unique(after.array(name)), book)
        assert book.shape == (8,)
        # Each weight went to the nearest value, and each value is the mean of its weights.
        np.testing.assert_array_equal(after.array(name), book[np.abs(before.array(name)[..., None] - book).argmin(-1)])
        for value in book:
            np.testing.assert_allclose(before.array(name)[after.array(name) == value].mean(), value, rtol=1e-5)
    assert len(ctx.lines) == 3


def test_a_codebook_for_each_channel():
    after = cluster(network(), clusters=4, scope="channel")
    assert after.constants["first"].structure.codebook.shape == (16, 4)
    assert after.constants["depthwise"].structure is None, "nine weights are too few"
    for row, book in zip(after.array("first"), after.constants["first"].structure.codebook, strict=True):
        assert set(np.unique(row)) <= set(book)


def test_zeros_of_a_mask_are_one_of_the_values():
    sparse = prune(network(), sparsity=0.6)
    after = cluster(sparse, clusters=8)
    for name in ("first", "last"):
        structure = after.constants[name].structure
        assert 0 in structure.codebook
        assert len(structure.codebook) == 8
        np.testing.assert_array_equal(after.array(name) == 0, ~structure.mask)


def test_again_there_is_nothing_to_do():
    once = cluster(network())
    assert cluster(once) is once
    assert len(cluster(once, clusters=4).constants["first"].structure.codebook) == 4


@pytest.mark.parametrize("options", [{"clusters": 1}, {"clusters": 300}, {"scope": "global"}])
def test_options_that_mean_nothing(options: dict[str, object]):
    with pytest.raises(RecipeError) as caught:
        cluster(network(), **options)
    assert caught.value.hint
