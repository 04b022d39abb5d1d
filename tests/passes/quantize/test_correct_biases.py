"""Bias correction: means as in float, weights untouched."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ops.evaluate import evaluate
from edgewright.passes.quantize.correct_biases import correct_biases
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context
from tests.passes.quantize.test_round_weights import distance, network, pictures


@pytest.mark.parametrize("bias", [True, False])
def test_output_means_return_and_weights_stay(bias: bool) -> None:
    graph, ctx = network(bias), Context(data=Data((pictures(64),)))
    plain = quantize_static(graph, ctx, weight_bits=3)
    ctx = Context(data=ctx.data)
    mended = correct_biases(plain, ctx)
    assert {line.where for line in ctx.lines} == {"first", "deep", "point", "wide", "last"}
    inputs = [pictures(64)]
    means = [evaluate(each, inputs)[0].mean(0) for each in (graph, plain, mended)]
    assert np.abs(means[2] - means[0]).max() < 0.2 * np.abs(means[1] - means[0]).max()
    assert distance(graph, mended) < distance(graph, plain)
    for name in plain.constants:
        if name.endswith("weight"):
            np.testing.assert_array_equal(mended.array(name), plain.array(name))
            assert mended.value(name) == plain.value(name)


def test_senseless_options_are_refused() -> None:
    ctx = Context(data=Data((pictures(8),)))
    with pytest.raises(RecipeError, match="samples is 0"):
        correct_biases(quantize_static(network(), ctx), ctx, samples=0)
