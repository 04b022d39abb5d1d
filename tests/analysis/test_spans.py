"""Spans: every node stands in one, in order, and what goes from one to the next is a single computed value."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.analysis.linear import linear
from edgewright.analysis.shared_steps import shared_steps
from edgewright.analysis.spans import Span, spans_between_cuts, spans_of_layers
from edgewright.data import Data
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops import Add, Conv2D, Dense, HardSwish, MaxPool2D, Mean, Softmax
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context
from tests.contract.animals import cleaned
from tests.passes.quantize.test_round_weights import pictures
from tests.zoo import ZOO


def network() -> Graph:
    """A layer with an activation of its own, a residual block of two layers, a pool, a dense layer with a softmax."""
    random = np.random.default_rng(0)
    builder = GraphBuilder("net")

    def weight(name: str, *shape: int) -> str:
        return builder.constant(name, (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))

    x = builder.input("x", (None, 8, 8, 3))
    first = builder.node(HardSwish(), [builder.node(Conv2D(), [x, weight("w0", 4, 1, 1, 3)], name="first")], name="swish")
    inner = builder.node(Conv2D(activation="relu"), [first, weight("w1", 4, 1, 1, 4)], name="inner")
    outer = builder.node(Conv2D(), [inner, weight("w2", 4, 1, 1, 4)], name="outer")
    joined = builder.node(Add(activation="relu"), [outer, first], name="add")
    pooled = builder.node(MaxPool2D((2, 2), (2, 2)), [joined], name="pool")
    flat = builder.node(Mean((1, 2), False), [pooled], name="mean")
    return builder.finish([builder.node(Softmax(), [builder.node(Dense(), [flat, weight("w3", 5, 4)], name="last")], name="softmax")])


def names(spans: list[Span]) -> list[list[str]]:
    return [[node.name for node in span] for span in spans]


def test_a_residual_block_is_one_span() -> None:
    graph = network()
    assert names(spans_between_cuts(graph)) == [["first"], ["swish", "inner", "outer", "add"], ["pool", "mean", "last"], ["softmax"]]
    whole = ["first", "swish", "inner", "outer", "add", "pool", "mean", "last"]
    assert names(spans_between_cuts(graph, 3)) == names(spans_between_cuts(graph, 9)) == [whole, ["softmax"]]


def test_layers_keep_their_activation_function() -> None:
    assert names(spans_of_layers(network())) == [
        ["first", "swish"], ["inner"], ["outer"], ["add"], ["pool"], ["mean"], ["last"], ["softmax"]
    ]  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_spans_take_every_node_and_hand_on_one_value(name: str) -> None:
    graph = cleaned(name)
    for spans in (spans_between_cuts(graph), spans_between_cuts(graph, 2), spans_of_layers(graph)):
        assert [node for span in spans for node in span] == list(graph.nodes)
    spans = spans_between_cuts(graph)
    for index in range(1, len(spans)):
        made = {output for span in spans[:index] for node in span for output in node.outputs}
        read = {source for span in spans[index:] for node in span for source in node.inputs} | set(graph.kept)
        assert len(made & read) <= 1
    assert all(any(linear(graph, node) for node in span) for span in spans[:-1])


def test_steps_are_shared_where_integers_pass_on_and_kept_at_the_edges() -> None:
    graph = quantize_static(network(), Context(data=Data((pictures(16),))))
    groups = shared_steps(graph)
    outputs = {node.name: node.outputs[0] for node in graph.nodes}
    assert groups[outputs["pool"]] == groups[outputs["add"]] != groups[outputs["inner"]]
    assert not {"x", outputs["softmax"]} & {*groups} and {outputs["first"], outputs["swish"], outputs["last"]} <= {*groups}
