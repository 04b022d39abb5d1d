from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.ir.verify import verify
from edgewright.ops import Add, Concat, Mean, Relu, Softmax
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context
from edgewright.passes.shrink.remove_blocks import remove_blocks
from tests.passes.check import Net, random_inputs


def context(graph: Graph, samples: int = 128) -> Context:
    return Context(data=Data(tuple(np.asarray(array, np.float32) for array in random_inputs(graph, samples, seed=7))))


def resnet(blocks: int = 3, weak: int = 1) -> Graph:
    """Residual blocks of two convolutions; what block ``weak`` adds is small."""
    net = Net(seed=5)
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 6, "stem", 3, 1, "relu")
    for index in range(blocks):
        step = net.conv(net.conv(y, 10, f"a{index}", 3, 1, "relu"), 6, f"b{index}", 3, 1)
        y = net.apply(Relu(), [net.apply(Add(), [y, step], f"add{index}")], f"relu{index}")
    graph = net.finish([net.dense(net.apply(Mean((1, 2)), [y], "mean"), 3, "head")])
    names = [f"b{weak}/weight", f"b{weak}/bias"]
    constants = {name: Constant(graph.array(name) * np.float32(1e-3)) for name in names}
    others = [f"b{index}/weight" for index in range(blocks) if index != weak]
    constants |= {name: Constant(graph.array(name) * np.float32(0.1)) for name in others}
    return verify(rebuild(graph, constants=constants))


def names(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes}


def test_the_weakest_block_goes_and_the_rest_stays_as_it_is() -> None:
    graph = resnet()
    ctx = context(graph)
    after = remove_blocks(graph, ctx, budget=0.9, refit_layers=False)
    assert names(graph) - names(after) == {"a1", "b1", "add1"} or names(graph) - names(after) == {"a1", "b1", "add1", "relu1"}
    assert any(line.where.endswith("1") and "taken out with 2 layers" in line.detail for line in ctx.lines)
    inputs = random_inputs(graph)
    np.testing.assert_allclose(evaluate(after, inputs)[0], evaluate(graph, inputs)[0], atol=0.05 * np.abs(evaluate(graph, inputs)[0]).max())


def test_blocks_go_until_the_budget_is_met_and_refitting_helps() -> None:
    graph = resnet()
    fresh = random_inputs(graph, 64, seed=3)
    errors = []
    for refitted in (False, True):
        after = remove_blocks(graph, context(graph), budget=0.45, refit_layers=refitted)
        assert cost(after).macs <= 0.45 * cost(graph).macs
        errors.append(float(np.square(evaluate(after, fresh)[0] - evaluate(graph, fresh)[0]).mean()))
    assert errors[1] < 0.6 * errors[0]


def test_a_layer_that_keeps_its_shape_is_a_block() -> None:
    net = Net(seed=1)
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 6, "first")
    y = net.conv(net.conv(y, 6, "same", activation="relu"), 4, "last")
    graph = net.finish([y])
    assert names(graph) - names(remove_blocks(graph, context(graph), budget=0.8, refit_layers=False)) == {"same"}


def test_what_is_read_outside_is_no_block() -> None:
    """The concatenation reads the middle of each branch; shapes change everywhere else."""
    net = Net(seed=1)
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 6, "first")
    z = net.conv(y, 4, "second")
    graph = net.finish([net.conv(net.apply(Concat(3), [y, z, net.conv(z, 5, "third")], "join"), 7, "last")])
    ctx = context(graph)
    assert remove_blocks(graph, ctx, budget=0.5) is graph
    assert [line.action for line in ctx.lines] == ["skipped"] and "no other block keeps its shape" in ctx.lines[0].detail


def test_outputs_stay() -> None:
    """A value that is an output is not replaced, even if it ends a block."""
    net = Net(seed=1)
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "only")
    graph = net.finish([net.apply(Softmax(), [y], "softmax"), y])
    assert remove_blocks(graph, context(graph), budget=0.5) is graph


def test_bad_options() -> None:
    graph = resnet()
    with pytest.raises(RecipeError, match="budget -1"):
        remove_blocks(graph, context(graph), budget=-1.0)
    with pytest.raises(RecipeError, match="nothing is known of the cost 'joy'"):
        remove_blocks(graph, context(graph), cost="joy")
    ctx = context(graph)
    ctx.costs["cycles"] = lambda graph: float("inf")
    with pytest.raises(RecipeError, match="nothing is known of cycles"):
        remove_blocks(graph, ctx, cost="cycles")
    assert remove_blocks(graph, context(graph), budget=1e9) is graph
