from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder, fresh_name, live_nodes, rebuild, replace_nodes
from edgewright.ir.graph import Node, State, Value
from edgewright.ir.verify import verify
from edgewright.ops import Add, Concat, Mean, Relu, Relu6, Softmax, Tanh
from tests.ir.graphs import float_graph


def names(graph):
    return [node.name for node in graph.nodes]


def test_rebuild_without_changes_gives_an_equal_graph():
    graph = float_graph()
    assert rebuild(graph).digest == graph.digest
    assert rebuild(graph, name="other").name == "other"


def test_rebuild_drops_what_nobody_reads():
    graph = float_graph()
    cut = verify(rebuild(graph, outputs=["mean"]))
    assert names(cut) == ["conv", "relu", "add", "mean"]
    assert set(cut.constants) == {"weight", "bias"} and cut.states == ()
    assert set(cut.values) == {"x", "weight", "bias", "conv", "relu", "add", "mean"}


def test_inputs_stay_even_if_unread():
    graph = float_graph()
    cut = rebuild(graph, outputs=["start"])
    assert cut.inputs == ("x",) and "x" in cut.values and cut.nodes == ()


def test_a_state_lives_only_if_something_visible_reads_it():
    build = GraphBuilder("states")
    x = build.input("x", (None, 2))
    start = build.constant("start", np.zeros((1, 2), np.float32))
    for name in ("seen", "loop", "chained"):
        build.state(name, (None, 2), start)
    build.write_state("seen", build.node(Add(), [x, "chained"], name="next_seen"))
    build.write_state("chained", build.node(Add(), [x, "chained"], name="next_chained"))
    build.write_state("loop", build.node(Add(), ["loop", x], name="next_loop"))
    graph = verify(build.finish([build.node(Relu(), ["seen"], name="out")]))
    assert names(graph) == ["next_seen", "next_chained", "out"]
    assert [state.read for state in graph.states] == ["seen", "chained"]


def test_a_state_that_nobody_reads_goes():
    build = GraphBuilder("unread")
    x = build.input("x", (None, 2))
    build.state("past", (None, 2), build.constant("start", np.zeros((1, 2), np.float32)))
    build.write_state("past", build.node(Relu(), [x], name="now"))
    assert build.finish(["now"]).states == ()


def test_a_state_that_moves_on_to_another_stays():
    build = GraphBuilder("delay")
    x = build.input("x", (None, 2))
    start = build.constant("start", np.zeros((1, 2), np.float32))
    for name in ("newest", "older", "oldest"):
        build.state(name, (None, 2), start)
    build.write_state("newest", x)
    build.write_state("older", "newest")
    build.write_state("oldest", "older")
    graph = verify(build.finish([build.node(Add(), [x, "older"], name="sum")]))
    assert [state.read for state in graph.states] == ["newest", "older"]


def test_live_nodes_keeps_the_order():
    nodes = [Node(name, Relu(), (source,), (name,)) for name, source in (("a", "x"), ("dead", "a"), ("b", "a"), ("c", "b"))]
    assert [node.name for node in live_nodes(nodes, {"c"}, ())] == ["a", "b", "c"]
    assert [node.name for node in live_nodes(nodes, {"x"}, (State("x", "b", "s"),))] == ["a", "b"]


def test_nothing_to_replace_is_the_same_object():
    graph = float_graph()
    assert replace_nodes(graph, {}) is graph
    assert replace_nodes(graph, {}, rename={}) is graph


def test_replace_one_node_by_two():
    graph = float_graph()
    middle = Value("middle", graph.value("relu").shape)
    new = [Node("first", Tanh(), ("conv",), ("middle",)), Node("second", Relu6(), ("middle",), ("relu",))]
    changed = verify(replace_nodes(graph, {"relu": new}, values=[middle]))
    assert names(changed) == ["conv", "first", "second", "add", "mean", "mixed", "head"]
    assert names(graph) == ["conv", "relu", "add", "mean", "mixed", "head"]


def test_dropping_a_node_renames_its_readers():
    changed = verify(replace_nodes(float_graph(), {"relu": ()}, rename={"relu": "conv"}))
    assert changed.producers["add"].inputs == ("conv", "conv") and "relu" not in changed.values


def test_chains_of_renames_are_followed_to_outputs_and_states():
    build = GraphBuilder("chain")
    x = build.input("x", (None, 2))
    build.state("past", (None, 2), build.constant("start", np.zeros((1, 2), np.float32)))
    a = build.node(Add(), [x, "past"], name="a")
    b = build.node(Relu(), [a], name="b")
    c = build.node(Relu(), [b], name="c")
    build.write_state("past", c)
    graph = build.finish([c, b])
    changed = verify(replace_nodes(graph, {"b": (), "c": ()}, rename={"c": "b", "b": "a"}))
    assert changed.outputs == ("a", "a") and changed.states[0].write == "a" and names(changed) == ["a"]


def test_a_circle_of_renames_is_refused():
    with pytest.raises(ModelError, match="round in a circle"):
        replace_nodes(float_graph(), {}, rename={"relu": "add", "add": "relu"})


def test_new_nodes_are_renamed_too():
    graph = float_graph()
    changed = replace_nodes(graph, {"relu": [Node("relu", Relu6(), ("conv",), ("relu",))]}, rename={"conv": "x"})
    assert changed.producers["relu"].inputs == ("x",)


def test_new_entries_win():
    graph = float_graph()
    changed = rebuild(graph, values=[dataclasses.replace(graph.value("x"), dtype=DType.FLOAT16)])
    assert changed.value("x").dtype is DType.FLOAT16 and graph.value("x").dtype is DType.FLOAT32


def test_fresh_names():
    assert fresh_name({"a"}, "b") == "b"
    assert fresh_name({"a", "a_1", "a_3"}, "a") == "a_2"


def test_builder_names_and_checks():
    build = GraphBuilder("b")
    x = build.input("x", (None, 4))
    first, second = build.node(Relu(), [x]), build.node(Relu(), [x])
    assert (first, second) == ("relu", "relu_1")
    assert build.node(Softmax(), [x], outputs=["scores"]) == "scores"
    with pytest.raises(ModelError, match="two values are called 'x'"):
        build.input("x", (None, 4))
    with pytest.raises(ModelError, match="Add takes 2 to 2 inputs, got 1"):
        build.node(Add(), [x])
    with pytest.raises(ModelError, match="element type float64"):
        build.constant("c", np.zeros(2))
    with pytest.raises(ModelError, match="axis 3 does not exist"):
        build.node(Concat(3), [x])
    build.state("past", (None, 4), build.constant("start", np.zeros((1, 4), np.float32)))
    with pytest.raises(ModelError, match="state 'past' is never written"):
        build.finish([first])


def test_builder_drops_dead_code():
    build = GraphBuilder("b")
    x = build.input("x", (None, 4, 4, 2))
    build.node(Mean(), [x], name="unused")
    graph = build.finish([build.node(Relu(), [x])])
    assert names(graph) == ["relu"] and set(graph.values) == {"x", "relu"}
