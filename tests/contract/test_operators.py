"""Every operator keeps the promises of its facts, on every node of the zoo. A new operator is tested as soon as an animal uses it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ir.operator import Axis, Coupling, Operator
from edgewright.ir.serial import load_graph, save_graph
from edgewright.ir.show import show_graph
from edgewright.ir.verify import verify
from edgewright.ops.evaluate import constant_tensors, evaluate
from tests.contract.animals import EVERY, integer_graph, original
from tests.zoo import ZOO, integer_inputs, zoo_inputs

BY_ROWS = {"LayerNorm", "LogSoftmax", "Softmax"}
"""Operators that read a whole row before they write it in place."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A node with the tensors that came into it and went out of it; the batch is 2."""

    node: Node
    ins: tuple[Value, ...]
    outs: tuple[Value, ...]
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]


def steps(graph: Graph) -> Iterator[Step]:
    seen: dict[str, torch.Tensor] = constant_tensors(graph)
    arrays = zoo_inputs(graph, 2) if graph.level is not Level.INTEGER else integer_inputs(graph, graph, 2)
    for state in graph.states:
        seen[state.read] = seen[state.initial].expand(2, *seen[state.initial].shape[1:])
    evaluate(graph, arrays, observe=lambda value, x: seen.__setitem__(value.name, x.clone()))
    for node in graph.nodes:
        yield Step(node, graph.ins(node), graph.outs(node), [seen[name] for name in node.inputs], [seen[name] for name in node.outputs])


def test_every_operator_lives_in_the_zoo():
    used = {node.op.kind for name in EVERY for graph in (original(name), integer_graph(name)) for node in graph.nodes}
    assert set(Operator.REGISTRY) - used == set()


@pytest.mark.parametrize("name", EVERY)
def test_animals_are_well_formed_and_say_why_they_exist(name):
    assert EVERY[name].__doc__ and len(EVERY[name].__doc__) > 20
    graph = verify(original(name))
    assert graph.name == name
    assert verify(integer_graph(name)).level is Level.INTEGER


@pytest.mark.parametrize("name", EVERY)
def test_shapes_and_ranges_are_the_declared_ones(name):
    for graph in (original(name), integer_graph(name)):
        for step in steps(graph):
            for value, tensor in zip(step.outs, step.outputs, strict=True):
                assert tuple(tensor.shape) == tuple(2 if size is None else size for size in value.shape), step.node
                assert tensor.dtype is (torch.int32 if value.dtype.is_integer else torch.float32), step.node
                if value.dtype.is_integer:
                    assert value.dtype.minimum <= int(tensor.min()) and int(tensor.max()) <= value.dtype.maximum, step.node
                else:
                    assert bool(torch.isfinite(tensor).all()), step.node


@pytest.mark.parametrize("name", ZOO)
def test_integers_follow_the_floats(name):
    """Every operator alone, fed with the reals of its integers, stays within a few steps of its grid."""
    graph = integer_graph(name)
    for step in steps(graph):
        reals = [torch.from_numpy(value.quant.to_real(x.numpy())) for value, x in zip(step.ins, step.inputs, strict=True)]
        for value, got, wanted in zip(step.outs, step.outputs, step.node.op.evaluate(reals), strict=True):
            low, high = (value.quant.scale[0] * (limit - value.quant.zero_point[0]) for limit in (value.dtype.minimum, value.dtype.maximum))
            error = np.abs(value.quant.to_real(got.numpy()) - wanted.clamp(low, high).numpy()).max()
            assert error <= 2.01 * value.quant.scale[0], (step.node, error / value.quant.scale[0])


@pytest.mark.parametrize("name", ZOO)
def test_floats_are_differentiable(name):
    """The gradient of every operator agrees with a central difference along a random direction, in float64."""
    generator = torch.Generator().manual_seed(0)
    for step in steps(original(name)):
        # Off the kinks: after a rectifier many inputs are equal, and a maximum has no derivative there.
        inputs = [(x + 1e-3 * torch.rand(x.shape, dtype=torch.float64, generator=generator)).requires_grad_() for x in step.inputs]
        outputs = step.node.op.evaluate(inputs)
        weights = [torch.randn(y.shape, dtype=torch.float64, generator=generator) for y in outputs]
        total = sum((y * w).sum() for y, w in zip(outputs, weights, strict=True))
        gradients = torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)
        directions = [torch.randn(x.shape, dtype=torch.float64, generator=generator) for x in inputs]
        if step.node.op.kind == "BatchNorm":
            directions[4] = directions[4] * 0.1
        nudge = 1e-7
        with torch.no_grad():
            ahead, behind = (
                sum(
                    (y * w).sum()
                    for y, w in zip(
                        step.node.op.evaluate([x + sign * nudge * d for x, d in zip(inputs, directions, strict=True)]), weights, strict=True
                    )
                )
                for sign in (1, -1)
            )
        slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
        torch.testing.assert_close(
            (ahead - behind) / (2 * nudge), slope, rtol=1e-4, atol=1e-4, msg=lambda text, step=step: f"{step.node}: {text}"
        )


def partners(couplings: tuple[Coupling, ...], start: tuple[Axis, int], sizes: dict[Axis, int]) -> dict[Axis, set[int]]:
    """Everything that goes with one index of one axis."""
    links: dict[tuple[Axis, int], set[tuple[Axis, int]]] = {}
    for coupling in couplings:
        pairs = [(i, i) for i in range(sizes[coupling.first])] if coupling.pairs is None else coupling.pairs.tolist()
        for first, second in pairs:
            links.setdefault((coupling.first, first), set()).add((coupling.second, second))
            links.setdefault((coupling.second, second), set()).add((coupling.first, first))
    gone, pending = {start}, [start]
    while pending:
        for partner in links.get(pending.pop(), ()):
            if partner not in gone:
                gone.add(partner)
                pending.append(partner)
    result: dict[Axis, set[int]] = {}
    for axis, index in gone:
        result.setdefault(axis, set()).add(index)
    return result


@pytest.mark.parametrize("name", ZOO)
def test_removing_what_is_coupled_changes_nothing_else(name):
    """Remove an index and its partners from operands and operator: the outputs that remain are the same.

    Indices that reach no output are set to zero first: that is what their removal means.
    """
    rng = np.random.default_rng(0)
    for step in steps(original(name)):
        couplings = step.node.op.couplings(step.ins, step.outs)
        for axis in sorted({axis for coupling in couplings or () for axis in (coupling.first, coupling.second)}, key=repr):
            check_removal(step, couplings, axis, rng)


def check_removal(step: Step, couplings: tuple[Coupling, ...], axis: Axis, rng: np.random.Generator) -> None:
    sizes = {Axis("in", index, a): x.shape[a] for index, x in enumerate(step.inputs) for a in range(x.ndim)}
    sizes |= {Axis("out", index, a): y.shape[a] for index, y in enumerate(step.outputs) for a in range(y.ndim)}
    gone = partners(couplings, (axis, int(rng.integers(sizes[axis]))), sizes)
    if any(len(indices) == sizes[place] for place, indices in gone.items()):
        return
    keep = {place: torch.tensor([i for i in range(sizes[place]) if i not in indices]) for place, indices in gone.items()}
    inputs = [x.clone() for x in step.inputs]
    if not any(place.side == "out" for place in gone):
        for place, indices in gone.items():
            inputs[place.index].index_fill_(place.axis, torch.tensor(sorted(indices)), 0.0)
    full = step.node.op.evaluate(inputs)
    cut = [select(x, "in", index, keep) for index, x in enumerate(inputs)]
    removed = {place: np.array(sorted(indices), np.int64) for place, indices in gone.items()}
    smaller = step.node.op.resized(step.ins, removed)
    ins = [
        dataclasses.replace(value, shape=(value.shape[0] if value.shape[:1] == (None,) else x.shape[0], *x.shape[1:]) if x.ndim else ())
        for value, x in zip(step.ins, cut, strict=True)
    ]
    for index, (shape, wanted, got) in enumerate(zip(smaller.infer(ins), full, smaller.evaluate(cut), strict=True)):
        wanted = select(wanted, "out", index, keep)
        assert tuple(2 if size is None else size for size in shape) == tuple(wanted.shape), (step.node, gone)
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5, msg=lambda text: f"{step.node}, {axis}: {text}")


def select(x: torch.Tensor, side: str, index: int, keep: dict[Axis, torch.Tensor]) -> torch.Tensor:
    for place, indices in keep.items():
        if place.side == side and place.index == index:
            x = x.index_select(place.axis, indices)
    return x


@pytest.mark.parametrize("name", ZOO)
def test_outputs_see_no_more_than_their_window(name):
    for step in steps(original(name)):
        window = step.node.op.window(step.ins)
        if window is None or any(value.rank != 4 for value in (step.ins[0], step.outs[0])):
            continue
        x = step.inputs[0]
        row, column = x.shape[1] // 2, x.shape[2] // 3
        changed = x.clone()
        changed[:, row, column] += 1.0
        (before,), (after,) = (step.node.op.evaluate([y, *step.inputs[1:]]) for y in (x, changed))
        for y, z in (before - after).abs().amax((0, 3)).nonzero().tolist():
            for place, out, axis in ((row, y, 0), (column, z, 1)):
                first = out * window.stride[axis] - window.padding[axis][0]
                assert place in range(first, first + window.dilation[axis] * (window.kernel[axis] - 1) + 1, window.dilation[axis]), (
                    step.node
                )


@pytest.mark.parametrize("name", EVERY)
def test_in_place_facts_are_possible(name):
    """A buffer that the output takes over has its size, and what is still to be read lies at or behind what is written."""
    graph = integer_graph(name)
    for step in steps(graph):
        for index in step.node.op.in_place(step.ins, step.outs):
            source, target = step.ins[index], step.outs[0]
            assert source.bytes == target.bytes and source.elements == target.elements, step.node
            if graph.is_constant(source.name) or step.node.op.kind in BY_ROWS or target.elements < 2:
                continue
            inputs = [x.clone() for x in step.inputs]
            flat = inputs[index].reshape(2, -1).clone()
            place = flat.shape[1] // 2
            flat[:, place] = torch.where(flat[:, place] > 0, source.dtype.minimum, source.dtype.maximum)
            inputs[index] = flat.reshape(step.inputs[index].shape)
            after = step.node.op.evaluate_integer(inputs, step.ins, step.outs)[0]
            touched = (after != step.outputs[0]).reshape(2, -1).any(0).nonzero().flatten()
            assert touched.numel() == 0 or int(touched.max()) <= place, step.node


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_of_one_is_still_the_same_network(name):
    def single(value: Value) -> Value:
        return dataclasses.replace(value, shape=(1, *value.shape[1:]) if value.shape[:1] == (None,) else value.shape)

    graph = original(name)
    for node in graph.nodes:
        symbolic = any(value.shape[:1] == (None,) for value in graph.ins(node))
        op = node.op.with_batch(1) if symbolic else node.op
        assert op.infer([single(value) for value in graph.ins(node)]) == tuple(single(value).shape for value in graph.outs(node)), node


@pytest.mark.parametrize("name", EVERY)
def test_costs_are_counts(name):
    graph = original(name)
    for node in graph.nodes:
        macs = node.op.macs(graph.ins(node), graph.outs(node))
        assert isinstance(macs, int) and macs >= 0
        assert macs > 0 or not node.op.weight_inputs


@pytest.mark.parametrize("name", EVERY)
def test_graphs_survive_a_file_and_print_the_same(name, tmp_path):
    for graph in (original(name), integer_graph(name)):
        back = load_graph(save_graph(graph, tmp_path / f"{graph.level.value}.npz"))
        assert back.digest == graph.digest
        assert show_graph(back) == show_graph(graph)
    assert EVERY[name]().digest == original(name).digest


def test_attributes_are_plain_and_hashable():
    for name in EVERY:
        for node in original(name).nodes:
            hash(node.op)
            for key, content in node.op.attributes().items():
                assert isinstance(content, (bool, int, float, str, tuple)), (node.op.kind, key)
