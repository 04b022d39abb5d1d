"""One sample at a time, and states that do not overwrite each other."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.check_plan import check_plan
from edgewright.lower.plan_memory import plan_memory
from edgewright.lower.schedule import order_states, single_sample
from edgewright.ops.add import Add
from edgewright.ops.evaluate import evaluate, evaluate_in_order
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice
from tests.lower.graphs import QUANT, IntegerBuilder


def test_a_symbolic_batch_becomes_one_everywhere() -> None:
    b = IntegerBuilder(batch=None)
    x = b.input("x", 4, 6)
    part = b.node(Slice((0, 0, 1), (None, 4, 3), (1, 1, 2)), x)
    flat = b.node(Reshape((None, 12)), part)
    graph = b.finish([b.node(Relu(), flat)])
    single = single_sample(graph)
    assert all(value.shape[0] == 1 for value in single.values.values())
    sample = np.arange(-12, 12).astype(np.int8).reshape(1, 4, 6)
    assert np.array_equal(evaluate(graph, [sample])[0], evaluate(single, [sample])[0])
    assert single_sample(single) is single


def test_nodes_that_have_no_batch_keep_their_shape() -> None:
    b = GraphBuilder("net", Level.INTEGER)
    table = b.constant("table", np.ones((2, 3), np.int8), quant=QUANT)
    flat = b.node(Reshape((1, 6)), [table], dtype=DType.INT8, quants=[QUANT])
    x = b.input("x", (None, 6), DType.INT8, QUANT)
    graph = single_sample(b.finish([b.node(Add(), [x, flat], dtype=DType.INT8, quants=[QUANT])]))
    assert graph.value(flat).shape == (1, 6)


def test_samples_that_are_mixed_cannot_run_alone() -> None:
    b = GraphBuilder("net", Level.INTEGER)
    fixed = b.input("fixed", (4, 6), DType.INT8, QUANT)
    x = b.input("x", (None, 6), DType.INT8, QUANT)
    graph = b.finish([b.node(Relu(), [x], dtype=DType.INT8, quants=[QUANT]), b.node(Relu(), [fixed], dtype=DType.INT8, quants=[QUANT])])
    assert single_sample(graph).value("fixed").shape == (4, 6)
    broken = b.finish([b.node(Reshape((None, 3, 2)), [x], name="r", dtype=DType.INT8, quants=[QUANT])])
    with pytest.raises(ModelError, match="cannot run one sample at a time"):
        single_sample(_with_shape(broken, "r", (None, 4, 2)))


def _with_shape(graph: Graph, name: str, shape: tuple[int | None, ...]) -> Graph:
    values = {key: (value if key != name else type(value)(name, shape, value.dtype, value.quant)) for key, value in graph.values.items()}
    return Graph(graph.name, graph.level, graph.inputs, graph.outputs, graph.nodes, values, graph.constants, graph.states)


def runs(graph: Graph, steps: int = 5) -> list[list[int]]:
    """The first element of every output over some calls with inputs 1, 2, 3, …"""
    inputs = [np.repeat(np.arange(1, steps + 1, dtype=np.int8)[:, None], 4, axis=1) for _ in graph.inputs]
    return [array[:, 0].tolist() for array in evaluate_in_order(graph, inputs)]


def delay_line(order: tuple[str, str, str]) -> Graph:
    """y(t) = x(t - 3), with its states declared in ``order``."""
    b = IntegerBuilder()
    x = b.input("x", 4)
    for name in order:
        b.state(name, 4)
    b.write("one", x)
    b.write("two", "one")
    b.write("three", "two")
    return b.finish([b.node(Relu(), "three", name="y")])


@pytest.mark.parametrize("order", [("one", "two", "three"), ("two", "one", "three"), ("three", "two", "one")])
def test_a_delay_line_moves_from_its_end(order: tuple[str, str, str]) -> None:
    graph = delay_line(order)
    ordered = order_states(graph)
    assert [state.read for state in ordered.states] == ["three", "two", "one"]
    assert runs(ordered) == runs(graph) == [[0, 0, 0, 1, 2]]
    check_plan(ordered, plan_memory(ordered))
    if order != ("three", "two", "one"):
        with pytest.raises(ModelError, match="has been overwritten"):
            check_plan(graph, plan_memory(graph))


@pytest.mark.parametrize("count", [2, 3])
def test_states_that_go_round_in_a_circle_are_copied_first(count: int) -> None:
    b = IntegerBuilder()
    x = b.input("x", 4)
    names = [b.state(f"s{index}", 4, initial_value=10 * index) for index in range(count)]
    for index, name in enumerate(names):
        b.write(name, names[(index + 1) % count])
    graph = b.finish([b.node(Add(), x, "s0", name="total")])
    ordered = order_states(graph)
    assert sum(node.name.endswith("_copy") for node in ordered.nodes) == 1
    check_plan(ordered, plan_memory(ordered))
    assert runs(ordered) == runs(graph) == [[1 + call + 10 * (call % count) for call in range(5)]]


def test_the_old_content_of_a_state_as_output_is_copied() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 4), b.state("s", 4)
    b.write(state, x)
    graph = b.finish([b.node(Reshape((1, 2, 2)), state, name="old"), b.node(Relu(), x)])
    ordered = order_states(graph)
    assert ordered.outputs[0] == "old_copy"
    check_plan(ordered, plan_memory(ordered))
    flat = [np.asarray(array).reshape(5, -1)[:, 0].tolist() for array in evaluate_in_order(ordered, [np.full((5, 4), 3, np.int8)])]
    assert flat == [[0, 3, 3, 3, 3], [3, 3, 3, 3, 3]]


def test_a_state_that_keeps_its_content_needs_nothing() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 4), b.state("s", 4)
    b.write(state, state)
    graph = b.finish([b.node(Add(), x, state)])
    assert order_states(graph) is graph
    check_plan(graph, plan_memory(graph))
