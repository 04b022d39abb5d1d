"""Every rule of a well-formed graph, broken once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level, Node, State, Value
from edgewright.ir.verify import verify
from edgewright.ops import Dequantize, Quantize, Relu
from tests.ir.graphs import float_graph, integer_graph, with_constant, with_value


def with_node(graph: Graph, name: str, /, **changes: object) -> Graph:
    return dataclasses.replace(
        graph, nodes=tuple(dataclasses.replace(node, **changes) if node.name == name else node for node in graph.nodes)
    )


BROKEN = {
    "two nodes are called 'relu'": lambda g: with_node(g, "add", name="relu"),
    "has 1 inputs, takes 2 to 2": lambda g: with_node(g, "add", inputs=("conv",)),
    "reads 'add' before it is computed": lambda g: with_node(g, "relu", inputs=("add",)),
    "value 'x' has two sources": lambda g: dataclasses.replace(g, inputs=("x", "x")),
    "value 'conv' has two sources": lambda g: with_node(g, "relu", outputs=("conv",)),
    "gives shapes": lambda g: with_value(g, "relu", shape=(None, 4, 4, 5)),
    "does not fit weight shape": lambda g: with_value(
        with_constant(g, "weight", np.zeros((3, 3, 3, 7), np.float32)), "weight", shape=(3, 3, 3, 7)
    ),
    "constant 'bias' is float32": lambda g: with_value(g, "bias", shape=(4,)),
    "constant 'bias' is int8": lambda g: with_constant(g, "bias", np.zeros(3, np.int8)),
    "output or state 'ghost' is never computed": lambda g: dataclasses.replace(
        g, outputs=("ghost",), values={**g.values, "ghost": Value("ghost", (None, 3))}
    ),
    "has no value 'nowhere'": lambda g: dataclasses.replace(g, inputs=("x", "nowhere")),
    "it has no outputs": lambda g: dataclasses.replace(g, outputs=()),
    "values that nothing defines": lambda g: dataclasses.replace(g, values={**g.values, "loose": Value("loose", (None, 2))}),
    "state 'past' has no initial constant": lambda g: dataclasses.replace(g, states=(State("past", "mixed", "x"),)),
    "differ in type or shape": lambda g: dataclasses.replace(g, states=(State("past", "conv", "start"),)),
    "only axis 0, the batch": lambda g: with_value(g, "x", shape=(None, 4, None, 2)),
    "is quantized in a float graph": lambda g: with_value(g, "x", quant=Quant.per_tensor(0.1)),
    "value 'x' is int8 in a float graph": lambda g: with_value(g, "x", dtype=DType.INT8),
}
BROKEN_INTEGER = {
    "value 'x' is float32 in an integer graph": lambda g: with_value(g, "x", dtype=DType.FLOAT32, quant=None),
    "its quantization says int16": lambda g: with_value(g, "y", quant=Quant.per_tensor(0.1, 0, DType.INT16)),
    "3 scales along axis 0 of shape": lambda g: with_value(with_constant(g, "weight", np.zeros((2, 2), np.int8)), "weight", shape=(2, 2)),
    "3 scales along axis 5": lambda g: with_value(g, "weight", quant=dataclasses.replace(g.value("weight").quant, axis=5)),
}


def test_the_graphs_are_well_formed():
    for graph in (float_graph(), integer_graph()):
        assert verify(graph) is graph


@pytest.mark.parametrize("message", BROKEN)
def test_each_rule_broken_once(message):
    with pytest.raises(ModelError, match=message) as caught:
        verify(BROKEN[message](float_graph()))
    assert caught.value.hint


@pytest.mark.parametrize("message", BROKEN_INTEGER)
def test_each_integer_rule_broken_once(message):
    with pytest.raises(ModelError, match=message):
        verify(BROKEN_INTEGER[message](integer_graph()))


def test_huge_values_are_refused():
    build = GraphBuilder("huge")
    x = build.input("x", (None, 1 << 20, 1 << 20))
    with pytest.raises(ModelError, match="1099511627776 elements"):
        verify(build.finish([build.node(Relu(), [x])]))


def edges(*, read_input: bool = False, read_output: bool = False) -> Graph:
    """A float input that Quantize reads and a float output that Dequantize makes; optionally something else reads them."""
    build = GraphBuilder("edges", Level.INTEGER)
    x = build.input("x", (None, 2))
    quant = Quant.per_tensor(0.1)
    y = build.node(Quantize(), [x], name="in", dtype=DType.INT8, quants=[quant])
    out = build.node(Dequantize(), [y], name="out", dtype=DType.FLOAT32)
    outputs = [out]
    if read_input:
        outputs.append(build.node(Relu(), [x], name="float_relu", dtype=DType.INT8, quants=[quant]))
    if read_output:
        outputs.append(build.node(Relu(), [out], name="float_relu", dtype=DType.INT8, quants=[quant]))
    return build.finish(outputs)


def test_floats_stand_at_the_edges_of_an_integer_graph_only():
    verify(edges())
    for graph in (edges(read_input=True), edges(read_output=True), dataclasses.replace(edges(), outputs=("out", "x"))):
        with pytest.raises(ModelError, match="is float32 in an integer graph"):
            verify(graph)


def test_no_quantize_or_dequantize_between_integers():
    build = GraphBuilder("middle", Level.INTEGER)
    x = build.input("x", (None, 2), DType.INT8, Quant.per_tensor(0.1))
    with pytest.raises(ModelError, match="is int8 already"):
        build.node(Quantize(), [x])
    graph = build.finish([build.node(Dequantize(), [x], name="reals", quants=[Quant.per_tensor(0.1)])])
    with pytest.raises(ModelError, match="Dequantize 'reals' gives reals, declared int8"):
        verify(graph)


def test_float_inputs_that_nobody_reads_are_no_edge_of_trouble():
    graph = edges()
    verify(rebuild(graph, outputs=["out"]))
    loose = Graph(
        "loose", Level.FLOAT, ("x",), ("y",), (Node("y", Relu(), ("x",), ("y",)),), {"x": Value("x", (None, 1)), "y": Value("y", (None, 1))}
    )
    verify(loose)
