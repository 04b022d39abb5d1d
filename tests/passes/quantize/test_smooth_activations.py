"""Activations with channels of like size: outputs stay, quantization gains, and no channel is moved up to the 6 of a relu6."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.quantize.smooth_activations import smooth_activations
from edgewright.passes.registry import Context
from tests.passes.check import Net
from tests.passes.quantize.test_equalize_layers import separable, spread, uneven


def images(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((count, 6, 6, 3)).astype(np.float32)


def peaks(graph: Graph, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    seen = {}
    evaluate(graph, [images(64)], observe=lambda value, x: seen.setdefault(value.name, x.abs().reshape(-1, x.shape[-1]).amax(0)))
    return np.asarray(seen[name], np.float64)


def dense_chain(activation: str) -> Graph:
    net = Net()
    y = net.dense(net.enter("x", (None, 5)), 16, "first", activation=activation)
    return uneven(net.finish([net.dense(y, 4, "last")]), "first")


@pytest.mark.parametrize("activation", ["none", "relu"])
def test_the_network_is_the_same_and_its_channels_are_alike(activation: str) -> None:
    graph = separable(activation)
    ctx = Context(data=Data((images(64),)))
    after = smooth_activations(graph, ctx)
    assert ctx.lines and smooth_activations(graph, Context(data=ctx.data)).digest == after.digest
    inputs = [images(8, seed=5)]
    np.testing.assert_allclose(evaluate(after, inputs)[0], evaluate(graph, inputs)[0], rtol=1e-4, atol=1e-4)
    before, now = (peaks(each, "first") for each in (graph, after))
    assert now.max() / now.min() < before.max() / before.min() / 5
    assert now.max() == pytest.approx(before.max(), rel=1e-4)


def test_quantization_gains() -> None:
    graph = dense_chain("relu")
    data = Data((np.random.default_rng(0).standard_normal((256, 5)).astype(np.float32),))
    fresh = [np.random.default_rng(1).standard_normal((256, 5)).astype(np.float32)]
    (wanted,) = evaluate(graph, fresh)
    # What the small channels say is what counts: the last layer weighs them up.
    errors = []
    for each in (graph, smooth_activations(graph, Context(data=data))):
        (found,) = evaluate(quantize_static(each, Context(data=data), activation_bits=4, weight_bits=8), fresh)
        errors.append(float(np.square(found - wanted).mean()))
    assert errors[1] < errors[0]


def test_relu6_is_never_reached_by_what_did_not_reach_it() -> None:
    graph = separable("relu6")
    data = Data((images(64),))
    after = smooth_activations(graph, Context(data=data))
    (wanted,), (found,) = evaluate(graph, data.inputs), evaluate(after, data.inputs)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    before, now = peaks(graph, "first"), peaks(after, "first")
    assert (now >= before * 0.999).all() and (now[before < 5.9] < 6).all() and spread(now[:, None], 0) < spread(before[:, None], 0)


def test_strength_is_checked() -> None:
    with pytest.raises(RecipeError, match="strength is 0"):
        smooth_activations(separable(), Context(data=Data((images(4),))), strength=0)
