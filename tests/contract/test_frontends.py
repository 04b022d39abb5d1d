"""What an emitter wrote, the frontend of that format reads back as the same network, on the whole zoo."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.emit.tflite import ABSENT, FLOAT_ONLY, emit_tflite
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.graph import Graph
from edgewright.ir.verify import verify
from edgewright.ops.evaluate import evaluate
from tests.contract.animals import EVERY, integer_graph, original
from tests.contract.test_emitters import kinds
from tests.zoo import ZOO, zoo_inputs


def there_and_back(graph: Graph) -> Graph:
    """``graph`` through a .tflite; what comes back is the same network, and stays so from then on."""
    (data,) = emit_tflite(graph).values()
    back = verify(load_tflite(data))
    (again,) = emit_tflite(back).values()
    assert load_tflite(again).digest == back.digest
    assert back.level is graph.level
    for first, second in zip((*graph.inputs, *graph.outputs), (*back.inputs, *back.outputs), strict=True):
        before, after = graph.value(first), back.value(second)
        assert (after.shape, after.dtype, after.quant) == (before.shape, before.dtype, before.quant)
    return back


INTEGER_IN_TFLITE = [name for name in EVERY if not kinds(integer_graph(name)) & (FLOAT_ONLY | ABSENT)]


@pytest.mark.parametrize("name", INTEGER_IN_TFLITE)
def test_an_integer_network_comes_back_from_tflite_to_the_byte(name):
    graph = integer_graph(name)
    back, arrays = there_and_back(graph), zoo_inputs(graph, 6)
    for wanted, got in zip(evaluate(graph, arrays), evaluate(back, arrays), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", [name for name in ZOO if not kinds(original(name)) & ABSENT])
def test_a_float_network_comes_back_from_tflite(name):
    graph = original(name)
    back, arrays = there_and_back(graph), zoo_inputs(graph, 6)
    for wanted, got in zip(evaluate(graph, arrays), evaluate(back, arrays), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6 * max(1.0, float(np.abs(wanted).max())))
