"""Layers of a network that lost channels or blocks, refitted in closed form, one after the other, to what they gave before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.channels import Indices, ValueAxis
from edgewright.analysis.columns import columns
from edgewright.analysis.linear import Edits, Linear, bias_array, linear, without_activation
from edgewright.ir.graph import Graph, Node
from edgewright.ops.activation import apply_activation
from edgewright.ops.add import Add
from edgewright.ops.evaluate import constant_tensors

POSITIONS = 1 << 16
"""Positions of a layer's output that it is refitted to, evenly spread over samples and places."""
CHUNK_NUMBERS = 1 << 23
"""Numbers of unfolded data at a time."""
RIDGE = 3e-3
"""Pulls the weights to the old ones: a share of the mean diagonal of the second moment."""
LEAST_ERROR = 1e-9
"""Share of a layer's variance below which its output counts as unchanged."""


@dataclass(frozen=True)
class Refitted:
    """One layer: the share of its outputs' variance that was wrong before, and that still is."""

    name: str
    before: float
    after: float


def refit(
    before: Graph, after: Graph, inputs: Sequence[NDArray[np.generic]], removed: Mapping[ValueAxis, Indices]
) -> tuple[Graph, list[Refitted]]:
    """``after`` with the weights and biases that give the outputs of ``before`` best, and what that was good for.

    Both float networks, without states, are walked side by side; nodes are the same where they have the same name, and ``removed`` tells
    which indices ``after`` lacks. Each layer is fed with what the refitted ones before it give. Least squares on the sums before the
    activation (channel pruning, He et al. 2017, arXiv:1707.06168; ThiNet, arXiv:1707.06342); a layer that ends in a residual addition takes
    over the error of the other branch. Zeros of masks stay; of layers with a codebook, a pattern without mask or a shared weight the bias
    alone changes.
    """
    walk = _Walk(before, after, removed)
    walk.start(inputs)
    with torch.inference_mode():
        for node in walk.order:
            walk.step(node)
    return (walk.edits.apply(), walk.found) if walk.found else (after, [])


def _shortcuts_first(graph: Graph) -> list[Node]:
    """The nodes in an order in which, of two layers that an addition joins, the one with more weights comes last: it can mend most."""
    early: dict[str, list[Node]] = {}
    for node in graph.nodes:
        parts = [linear(graph, graph.producers.get(name)) for name in node.inputs]
        if isinstance(node.op, Add) and len(parts) == 2 and parts[0] is not None and parts[1] is not None:
            small = min(parts, key=lambda part: 0 if part is None else graph.value(part.weight).elements)
            if small is not None and graph.sole_consumer(small.node.outputs[0]) is node:
                early.setdefault(small.data, []).append(small.node)
    moved = {node.name for nodes in early.values() for node in nodes}
    order = [node for name in graph.inputs for node in early.get(name, ())]
    for node in graph.nodes:
        if node.name not in moved:
            order.append(node)
        order += [new for name in node.outputs for new in early.get(name, ())]
    return order


class _Walk:
    """Two networks side by side, and the new constants of the second one."""

    def __init__(self, before: Graph, after: Graph, removed: Mapping[ValueAxis, Indices]) -> None:
        self.graphs = (before, after)
        self.removed = removed
        self.own = {node.name: node for node in after.nodes}
        self.edits = Edits(after)
        self.found: list[Refitted] = []
        self.order = _shortcuts_first(before)
        own = [self.own[node.name] for node in self.order if node.name in self.own]
        self.last = [{name: node.name for node in nodes for name in node.inputs} for nodes in (self.order, own)]

    def start(self, inputs: Sequence[NDArray[np.generic]]) -> None:
        tensors = [torch.from_numpy(np.array(array, np.float32)) for array in inputs]
        self.known = [constant_tensors(graph) for graph in self.graphs]
        self.held = [dict(zip(graph.inputs, tensors, strict=True)) for graph in self.graphs]

    def step(self, node: Node) -> None:
        own = self.own.get(node.name)
        sums = self._sums(0, node)
        if own is not None:
            part = linear(self.graphs[1], own)
            replaced = None
            if part is not None and len(sums) == 1:
                replaced = self._mend(part, sums[0])
            self._keep(1, own, self._sums(1, own, replaced))
        self._keep(0, node, sums)

    def _sums(self, side: int, node: Node, constants: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
        """The outputs of ``node`` before a fused activation; ``constants`` stand for its weight and bias."""
        inputs = [self.known[side][name] if name in self.known[side] else self.held[side][name] for name in node.inputs]
        if constants is not None:
            inputs[1:] = constants
        return tuple(without_activation(node.op).evaluate(inputs))

    def _keep(self, side: int, node: Node, sums: tuple[Tensor, ...]) -> None:
        activation = str(getattr(node.op, "activation", "none"))
        for name, x in zip(node.outputs, sums, strict=True):
            self.held[side][name] = apply_activation(x, activation)
        for name in node.inputs:
            if self.last[side][name] == node.name:
                self.held[side].pop(name, None)

    def _mend(self, part: Linear, sums: Tensor) -> tuple[Tensor, ...] | None:
        """New weight and bias of ``part``, whose original gives ``sums``; None where the old ones stay."""
        after = self.graphs[1]
        (output,) = part.node.outputs
        target = self._beside_sum(part, sums, self._kept(sums, output))
        error = target - self._sums(1, part.node)[0]
        rows = target.reshape(-1, target.shape[-1])
        scale = float(rows.var(0, correction=0).sum()) or 1.0
        size = float(error.square().reshape(rows.shape).mean(0).sum()) / scale
        if not np.isfinite(size) or size <= LEAST_ERROR:
            return None
        moments = _Moments.of(after, part, self.held[1][part.data], error)
        weight = torch.from_numpy(np.array(after.array(part.weight), np.float32))
        change, shift = (None, rows.new_zeros(0)) if moments is None else moments.solve(self._free(part, weight))
        if moments is None or change is None:
            shift = error.reshape(rows.shape).mean(0).double()
            left = size - float(shift.square().sum()) / scale
        else:
            weight = (weight.double() + change.reshape(weight.shape)).float()
            left = moments.left(change) / scale
        bias = torch.from_numpy(bias_array(after, part)) + shift
        structure = after.constants[part.weight].structure
        names = [part.weight]
        if change is not None:
            names = [self.edits.constant(self.edits.replacing(part.weight), weight.numpy(), structure=structure)]
        names.append(self.edits.bias(part, bias.numpy()) or "")
        self.edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(part.data, *names))]
        self.found.append(Refitted(part.node.name, size, max(0.0, left)))
        return weight, bias.float()

    def _kept(self, x: Tensor, name: str) -> Tensor:
        """``x``, the original value ``name``, without what the other network lacks of it."""
        for axis in range(1, x.ndim):
            gone = self.removed.get((name, axis), ())
            if len(gone):
                x = x.index_select(axis, torch.from_numpy(np.delete(np.arange(x.shape[axis]), gone)))
        return x

    def _beside_sum(self, part: Linear, sums: Tensor, target: Tensor) -> Tensor:
        """``target``, or where a residual addition alone reads it: what the sum lacks beside the other branch as it is now."""
        (output,) = part.node.outputs
        readers = [graph.sole_consumer(output) for graph in self.graphs]
        first, second = readers
        if first is None or second is None or first.name != second.name or part.activation != "none":
            return target
        if not (isinstance(first.op, Add) and isinstance(second.op, Add)):
            return target
        others = [next((name for name in node.inputs if name != output), "") for node in (first, second)]
        if any(name not in held for name, held in zip(others, self.held, strict=True)):
            return target
        old, new = (held[name] for name, held in zip(others, self.held, strict=True))
        if old.shape != sums.shape or new.shape != target.shape:
            return target
        return target + self._kept(old, others[0]) - new

    def _free(self, part: Linear, weight: Tensor) -> Tensor | None:
        """Where weights may change (None: everywhere); all False where they have to stay."""
        graph = self.graphs[1]
        structure = graph.constants[part.weight].structure
        if len(graph.consumers.get(part.weight, ())) > 1:
            return torch.zeros(weight.shape, dtype=torch.bool)
        if structure is None:
            return None
        if structure.codebook is not None or structure.bits is not None or (structure.pattern is not None and structure.mask is None):
            return torch.zeros(weight.shape, dtype=torch.bool)
        return None if structure.mask is None else torch.from_numpy(np.array(structure.mask))


@dataclass(frozen=True)
class _Moments:
    """Centred moments of a layer's data (groups, K, K) and of data with error (groups, K, rows), means of both; in float64."""

    second: Tensor
    crossed: Tensor
    mean: Tensor
    error: Tensor
    variance: float

    @staticmethod
    def of(graph: Graph, part: Linear, x: Tensor, error: Tensor) -> _Moments | None:
        """None where the operator is not a product over a window of its data."""
        one = columns(graph, part, x[:1])
        if one is None:
            return None
        places, groups, size = one.shape
        wanted = error.reshape(len(x) * places, groups, -1)
        stride = max(1, -(-len(wanted) // POSITIONS))
        step = max(1, CHUNK_NUMBERS // max(1, one.numel()))
        second = torch.zeros(groups, size, size, dtype=torch.float64)
        crossed = torch.zeros(groups, size, wanted.shape[2], dtype=torch.float64)
        sums, errors = torch.zeros(groups, size, dtype=torch.float64), torch.zeros(wanted.shape[1:], dtype=torch.float64)
        count, squares = 0, 0.0
        for begin in range(0, len(x), step):
            data = columns(graph, part, x[begin : begin + step])
            assert data is not None
            first = -(begin * places) % stride
            data = data[first::stride].transpose(0, 1)
            off = wanted[begin * places : (begin + step) * places][first::stride].transpose(0, 1)
            second += (data.transpose(1, 2) @ data).double()
            crossed += (data.transpose(1, 2) @ off).double()
            sums += data.sum(1, dtype=torch.float64)
            errors += off.sum(1, dtype=torch.float64)
            squares += float(off.square().sum(dtype=torch.float64))
            count += data.shape[1]
        mean, shift = sums / count, errors / count
        second = second / count - mean[:, :, None] * mean[:, None, :]
        crossed = crossed / count - mean[:, :, None] * shift[:, None, :]
        return _Moments(second, crossed, mean, shift, squares / count - float(shift.square().sum()))

    def solve(self, free: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """The change of the weights (groups, rows, K) and of the bias (O,); None where no weight may change."""
        if free is not None and not bool(free.any()):
            return None, self.error.reshape(-1)
        level = self.second.diagonal(dim1=1, dim2=2).mean(-1).clamp(min=1e-20)
        damped = self.second + RIDGE * level[:, None, None] * torch.eye(self.second.shape[-1], dtype=torch.float64)
        if free is None or bool(free.all()):
            change = torch.linalg.solve(damped, self.crossed).transpose(1, 2)
        else:
            allowed = free.reshape(self.crossed.transpose(1, 2).shape)
            change = torch.zeros(allowed.shape, dtype=torch.float64)
            for group, row in np.ndindex(*allowed.shape[:2]):
                (own,) = torch.nonzero(allowed[group, row], as_tuple=True)
                change[group, row, own] = torch.linalg.solve(damped[group][own][:, own], self.crossed[group, own, row])
        shift = self.error - (change @ self.mean[..., None]).squeeze(-1)
        return change, shift.reshape(-1)

    def left(self, change: Tensor) -> float:
        """The variance of the error that is left after ``change``."""
        gain = 2 * (change * self.crossed.transpose(1, 2)).sum() - ((change @ self.second) * change).sum()
        return self.variance - float(gain)
