"""Channels fade under a group lasso, and pruning by the scales of batch norm takes those."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import RecipeError
from edgewright.ops import BatchNorm
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from tests.passes.train.test_fine_tune import accuracy
from tests.train.digits import digit_images, need_training, trained_digits

PASSES = load_passes()


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def scales(graph):
    return np.concatenate([np.abs(graph.array(node.inputs[1])) for node in graph.nodes if isinstance(node.op, BatchNorm)])


def test_channels_fade_and_the_faded_ones_go():
    data, test = digit_images()
    ctx = Context(data=data, teacher=trained_digits())
    start = PASSES["insert_batchnorm"].function(trained_digits(), ctx)
    slim = PASSES["slim_channels"].function(start, ctx, epochs=8, learning_rate=0.03, strength=3.0)
    assert scales(slim).mean() < 0.8 * scales(start).mean() and "faded" in ctx.lines[-1].detail
    assert accuracy(slim, test) > accuracy(start, test) - 0.05
    pruned = [
        PASSES["prune_channels"].function(graph, ctx, budget=0.6, importance="batchnorm", scope="local", multiple=1)
        for graph in (start, slim)
    ]
    assert accuracy(pruned[1], test) > accuracy(pruned[0], test) + 0.02


def test_without_batch_norm_nothing_fades():
    data, _ = digit_images()
    ctx = Context(data=data)
    assert PASSES["slim_channels"].function(trained_digits(), ctx) is trained_digits() or ctx.lines[-1].action == "skipped"
    assert "put insert_batchnorm before" in ctx.lines[-1].detail
    with pytest.raises(RecipeError, match="strength -1"):
        PASSES["slim_channels"].function(trained_digits(), ctx, strength=-1.0)
