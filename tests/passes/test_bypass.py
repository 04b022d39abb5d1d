from __future__ import annotations

from edgewright.ir.graph import Graph
from edgewright.ir.verify import verify
from edgewright.ops import Add, Relu, Tanh
from edgewright.passes.bypass import bypass
from tests.passes.check import Net, kinds


def line(*outputs: str) -> Graph:
    """x → a → b → c → d, with ``outputs``."""
    net = Net()
    name = net.enter("x", (None, 3))
    for label in "abcd":
        name = net.apply(Tanh() if label == "a" else Relu(), [name], label)
    return net.finish(outputs)


def test_readers_read_the_other_value() -> None:
    graph = verify(bypass(line("d"), {"b": "a"}))
    assert [(node.name, node.inputs) for node in graph.nodes] == [("a", ("x",)), ("c", ("a",)), ("d", ("c",))]


def test_chains_lead_to_their_root() -> None:
    graph = verify(bypass(line("d"), {"c": "b", "b": "a"}))
    assert [node.inputs for node in graph.nodes] == [("x",), ("a",)]


def test_an_output_gives_its_name_to_what_it_equals() -> None:
    graph = verify(bypass(line("d"), {"b": "a", "c": "b", "d": "c"}))
    assert graph.outputs == ("d",) and [(node.name, node.outputs) for node in graph.nodes] == [("a", ("d",))]


def test_readers_of_a_renamed_value_follow() -> None:
    graph = verify(bypass(line("b", "d"), {"b": "a"}))
    assert [(node.inputs, node.outputs) for node in graph.nodes] == [(("x",), ("b",)), (("b",), ("c",)), (("c",), ("d",))]


def test_an_output_that_equals_an_output_or_an_input_stays() -> None:
    graph = line("a", "b", "d")
    assert bypass(graph, {"b": "a"}) is graph
    assert bypass(line("a"), {"a": "x"}).producers["a"].inputs == ("x",)
    two = verify(bypass(line("b", "c", "d"), {"b": "a", "c": "a"}))
    assert two.outputs == ("b", "c", "d") and [node.name for node in two.nodes] == ["a", "c", "d"]


def test_what_a_state_writes_keeps_its_name() -> None:
    net = Net()
    x = net.enter("x", (None, 3))
    past = net.state("past", (None, 3), net.constant("initial", net.numbers(1, 3)))
    total = net.apply(Add(), [past, x], "sum")
    net.write_state(past, net.apply(Relu(), [total], "next"))
    graph = verify(bypass(net.finish([net.apply(Tanh(), [total], "out")]), {"next": "sum"}))
    assert kinds(graph) == ["Add", "Tanh"] and graph.states[0].write == "next" and graph.nodes[1].inputs == ("next",)


def test_nothing_to_leave_out() -> None:
    graph = line("d")
    assert bypass(graph, {}) is graph
