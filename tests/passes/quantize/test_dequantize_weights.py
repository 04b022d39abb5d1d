from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Structure
from edgewright.ops.evaluate import evaluate
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from tests.passes.check import Net, random_inputs


def dynamic() -> Graph:
    net = Net()
    y = net.conv(net.enter("x", (None, 5, 5, 3)), 4, "conv", kernel=3)
    graph = net.finish([net.conv(y, 2, "last")])
    return find_pass("quantize_dynamic").function(graph, Context(), minimum_elements=50)


def run(graph: Graph) -> tuple[Graph, Context]:
    ctx = Context()
    return find_pass("dequantize_weights").function(graph, ctx), ctx


def test_the_numbers_stay() -> None:
    graph = dynamic()
    assert graph.level is Level.QUANTIZED
    after, ctx = run(graph)
    assert after.level is Level.FLOAT and not any(value.quant for value in after.values.values())
    assert [line.detail for line in ctx.lines] == ["1 quantized constants made real numbers"]
    inputs = random_inputs(after)
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], evaluate(after, inputs)[0])
    assert run(after)[0] is after


def test_structure_stays_true() -> None:
    graph = dynamic()
    weight = np.where(graph.array("conv/weight") > 0, np.float32(0.5), np.float32(-0.25))
    weight[0] = 0
    for codebook in (np.array([-0.25, 0, 0.5], np.float32), np.tile(np.array([-0.25, 0, 0.5], np.float32), (4, 1))):
        structured = rebuild(graph, constants={"conv/weight": Constant(weight, Structure(mask=weight != 0, codebook=codebook))})
        constant = run(structured)[0].constants["conv/weight"]
        structure = constant.structure
        assert structure is not None and structure.mask is not None and structure.codebook is not None
        assert structure.codebook.shape == (4, 3) and not constant.array[~structure.mask].any()
        for row, values in zip(constant.array, structure.codebook, strict=True):
            assert np.isin(row, values).all()


def test_a_graph_of_quantized_activations_stays() -> None:
    graph = dynamic()
    value = graph.value("conv")
    graph = rebuild(graph, values=[type(value)(value.name, value.shape, value.dtype, Quant.per_tensor(0.1))])
    after, ctx = run(graph)
    assert after is graph and [line.action for line in ctx.lines] == ["skipped"]
