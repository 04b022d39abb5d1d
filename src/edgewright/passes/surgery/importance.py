"""How much each group of channels matters: one number a group, from weights, from batch norm, from activations, or from gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.analysis.channels import ChannelGroups, Indices, contractions, operand
from edgewright.analysis.columns import columns
from edgewright.analysis.linear import FloatArray, Linear, input_channels, linear
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Value
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.evaluate import constant_tensors, evaluate, fast_chunk
from edgewright.passes.registry import Context

MOST_SAMPLES = 512
"""Samples that statistics and gradients are taken from."""
ROWS = 1 << 14
"""Positions of a layer's data that its second moments are taken from."""
DAMPING = 1e-3
"""Added to the diagonal of second moments, as a share of its mean."""
HEADS = ("Softmax", "LogSoftmax")


def importance(measure: str, graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """One number a group (count,), higher: matters more; NaN where ``measure`` knows nothing of it. Comparable between layers.

    ``families``: the groups among which channels are chosen, of one layer or of several that are coupled.
    """
    if measure not in MEASURES:
        raise RecipeError(f"unknown measure of importance {measure!r}", hint=f"one of {', '.join(MEASURES)}")
    return MEASURES[measure](graph, groups, families, ctx)


@dataclass(frozen=True)
class Reader:
    """A layer that sums over channels: for each index along the last axis of its data, the group it belongs to."""

    part: Linear
    labels: Indices


def readers(graph: Graph, groups: ChannelGroups) -> Iterator[Reader]:
    """The layers with constant weights that sum over the last axis of their data."""
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None:
            continue
        last = graph.value(part.data).rank - 1
        if any(mask.any() and (end.index, end.axis) == (0, last) for end, mask in contractions(graph, node).items()):
            yield Reader(part, groups.labels[part.data, last])


def _samples(ctx: Context) -> Data:
    data = ctx.calibration()
    return data.take(slice(0, MOST_SAMPLES))


def _sums(count: int, labels: Indices, numbers: FloatArray) -> FloatArray:
    return np.bincount(labels, weights=numbers, minlength=count).astype(np.float64)


def _mean_of(count: int, parts: list[tuple[Indices, FloatArray]]) -> FloatArray:
    """By group, the mean over the ``parts`` that know it of the sum over its indices there; NaN where none does."""
    total, known = np.zeros(count), np.zeros(count)
    for labels, numbers in parts:
        total += _sums(count, labels, numbers)
        known += np.bincount(labels, minlength=count) > 0
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _norms(power: int) -> Callable[[Graph, ChannelGroups, list[Indices], Context], FloatArray]:
    def norms(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
        """The norm of all filters that make the group's channels and of all weights that read them, each tensor against its own mean."""
        parts = []
        for node in graph.nodes:
            part = linear(graph, node)
            if part is None:
                continue
            weight = np.abs(graph.array(part.weight).astype(np.float64)) ** power
            meeting = input_channels(graph, part)
            for axis in {0} | (set() if meeting is None else {meeting[0]}):
                slabs = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).sum(1)
                parts.append((groups.labels[part.weight, axis], slabs / (slabs.mean() or 1.0)))
        return np.asarray(_mean_of(groups.count, parts) ** (1 / power))

    return norms


def _batchnorm(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """The size of batch norm's scales, as shares of each layer's largest: Network Slimming (Liu et al. 2017, arXiv:1708.06519)."""
    nodes = [node for node in graph.nodes if isinstance(node.op, BatchNorm) and graph.is_constant(node.inputs[1])]
    if not nodes:
        raise RecipeError(f"{graph.name!r} has no batch norm to tell what matters", hint="put insert_batchnorm before, or take taylor")
    scales = {node.inputs[1]: np.abs(graph.array(node.inputs[1]).astype(np.float64)) for node in nodes}
    return _mean_of(groups.count, [(groups.labels[name, 0], scale / (scale.max() or 1.0)) for name, scale in scales.items()])


def _zeros(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """The share of activations that are not zero: one minus APoZ (Hu et al. 2016, arXiv:1607.03250)."""
    found = _moments_of(graph, list(readers(graph, groups)), ctx)
    return _mean_of(groups.count, [(reader.labels, alive / max(1, len(reader.labels) // len(np.unique(reader.labels))))
                                   for reader, _, alive in found])


def _variance(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """What each channel adds to the variance of the sums that read it, as a share of all that is added there."""
    total = np.zeros(groups.count)
    for reader, variance, _ in _moments_of(graph, list(readers(graph, groups)), ctx):
        meeting = input_channels(graph, reader.part)
        if meeting is None:
            continue
        axis, pairs = meeting
        weight = np.moveaxis(graph.array(reader.part.weight).astype(np.float64), axis, 0)
        power = np.square(weight).reshape(len(weight), -1).sum(1)[pairs[:, 1]]
        added = variance[pairs[:, 0]] * power
        total += _sums(groups.count, reader.labels[pairs[:, 0]], added / (added.sum() or 1.0))
    return total


def _moments_of(graph: Graph, found: list[Reader], ctx: Context) -> list[tuple[Reader, FloatArray, FloatArray]]:
    """Each reader with the variance of its data and the share that is not zero, by index along the last axis."""
    wanted = {reader.part.data for reader in found}
    sums: dict[str, list[Tensor]] = {}

    def add(value: Value, x: Tensor) -> None:
        if value.name in wanted:
            rows = x.reshape(-1, x.shape[-1]).double()
            new = [torch.tensor(float(len(rows))), rows.sum(0), rows.square().sum(0), (rows != 0).sum(0).double()]
            old = sums.get(value.name)
            sums[value.name] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    evaluate(graph, _samples(ctx).inputs, observe=add)
    result = []
    for reader in found:
        count, first, second, alive = sums[reader.part.data]
        variance = (second / count - (first / count).square()).clamp(min=0)
        result.append((reader, variance.numpy().astype(np.float64), (alive / count).numpy().astype(np.float64)))
    return result


def _taylor(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """The squared first-order change of the loss where a group is masked, mean over samples (Molchanov et al. 2019, arXiv:1906.10771).

    Masks stand where channels are read, summed over all readers of a group before the square (Group Fisher, arXiv:2108.00708). The loss is
    cross-entropy with the data's labels; without them, with labels drawn from the network's own answers; where it does not end in a
    softmax, a random projection of the outputs. Samples start from the initial states.
    """
    data = _samples(ctx)
    generator = torch.Generator().manual_seed(ctx.seed)
    fixed = [graph.value(name).shape[0] for name in graph.inputs]
    symbolic = all(size is None for size in fixed)
    batch = max(1, min(fast_chunk(graph), 64))
    steps = data.count // (fixed[0] or 1) if None not in fixed else -(-data.count // batch)
    total, seen = torch.zeros(groups.count, dtype=torch.float64), 0
    constants, masked = constant_tensors(graph), _masked(graph, groups)
    for step in range(steps):
        sizes = [batch if size is None else size for size in fixed]
        whole = None in fixed and not symbolic
        spans = [slice(None) if whole and own is not None else slice(step * size, (step + 1) * size) for own, size in zip(fixed, sizes)]
        inputs = [torch.from_numpy(np.array(array[span])) for array, span in zip(data.inputs, spans, strict=True)]
        labels = None if data.labels is None or not symbolic else torch.from_numpy(data.labels[spans[0]])
        masks = torch.ones(len(inputs[0]) if symbolic else 1, groups.count, requires_grad=True)
        loss = _loss(graph, _run_masked(graph, inputs, constants, masked, masks), labels, generator) + 0 * masks.sum()
        (slope,) = torch.autograd.grad(loss, masks)
        total += slope.double().square().sum(0)
        seen += len(masks)
    return np.asarray((total / seen).numpy())


def _masked(graph: Graph, groups: ChannelGroups) -> dict[str, list[tuple[int, int, Tensor]]]:
    """By node: (input, axis, group of each index) of the data that it sums over."""
    found: dict[str, list[tuple[int, int, Tensor]]] = {}
    for node in graph.nodes:
        ends = [end for end, mask in contractions(graph, node).items() if mask.any() and not graph.is_constant(node.inputs[end.index])]
        for end in ends[:1]:
            found.setdefault(node.name, []).append((end.index, end.axis, torch.from_numpy(groups.labels[operand(node, end)])))
    return found


def _run_masked(
    graph: Graph, inputs: list[Tensor], constants: dict[str, Tensor], masked: dict[str, list[tuple[int, int, Tensor]]], masks: Tensor
) -> list[Tensor]:
    """The outputs, before a softmax that ends the network; masks (samples or 1, groups) stand in front of what sums over channels."""
    held = dict(zip(graph.inputs, inputs, strict=True))
    for state in graph.states:
        fresh = constants[state.initial]
        held[state.read] = fresh.expand(len(inputs[0]), *fresh.shape[1:]) if graph.value(state.read).shape[:1] == (None,) else fresh
    for node in graph.nodes:
        tensors = [constants[name] if name in constants else held[name] for name in node.inputs]
        for index, axis, labels in masked.get(node.name, ()):
            shape = [1] * tensors[index].ndim
            shape[0], shape[axis] = len(masks), len(labels)
            tensors[index] = tensors[index] * masks[:, labels].reshape(shape)
        held.update(zip(node.outputs, node.op.evaluate(tensors), strict=True))
    return [held[name] if name in held else constants[name] for name in (_before_softmax(graph, name) for name in graph.outputs)]


def _before_softmax(graph: Graph, name: str) -> str:
    maker = graph.producers.get(name)
    return maker.inputs[0] if maker is not None and maker.op.kind in HEADS else name


def _loss(graph: Graph, outputs: list[Tensor], labels: Tensor | None, generator: torch.Generator) -> Tensor:
    total = outputs[0].sum() * 0
    for index, (name, output) in enumerate(zip(graph.outputs, outputs, strict=True)):
        softmax = _before_softmax(graph, name) != name
        if index == 0 and labels is not None and output.ndim == 2 and output.shape[1] > int(labels.max()):
            total = total + F.cross_entropy(output, labels, reduction="sum")
        elif softmax:
            rows = output.reshape(-1, output.shape[-1])
            drawn = torch.multinomial(rows.detach().softmax(-1), 1, generator=generator)[:, 0]
            total = total + F.cross_entropy(rows, drawn, reduction="sum")
        else:
            direction = torch.randn(output.shape, generator=generator)
            total = total + (output * direction).sum() / (output.detach().std(correction=0).clamp(min=1e-6) * output[0].numel() ** 0.5)
    return total


def _reconstruction(graph: Graph, groups: ChannelGroups, families: list[Indices], ctx: Context) -> FloatArray:
    """The error that is left in the layers that read a group when it goes and all other weights take over what they can.

    Optimal brain surgeon for blocks of weights (Hassibi and Stork 1993; ZipLM, arXiv:2302.04089), on second moments of calibration data;
    within a family one group goes after the other, so that what replaces another one stays. As a share of the layers' variance.
    """
    found = list(readers(graph, groups))
    moments = _second_moments(graph, found, ctx)
    score = np.full(groups.count, np.nan)
    for family in families:
        parts = []
        for reader, second in zip(found, moments, strict=True):
            if second is not None and np.isin(reader.labels, family).any():
                parts.append(_Surgeon(graph, reader, second, family))
        if parts:
            score[family] = _eliminate(parts, len(family))
    return score


def _second_moments(graph: Graph, found: list[Reader], ctx: Context) -> list[Tensor | None]:
    """The centred, damped second moment (K, K) of the data that each reader multiplies; None where it has groups or no window."""
    by_data: dict[str, list[int]] = {}
    for index, reader in enumerate(found):
        by_data.setdefault(reader.part.data, []).append(index)
    sums: dict[int, list[Tensor]] = {}
    per_chunk = max(1, ROWS // max(1, -(-_samples(ctx).count // fast_chunk(graph))))

    def add(value: Value, x: Tensor) -> None:
        for index in by_data.get(value.name, ()):
            data = columns(graph, found[index].part, x)
            if data is None or data.shape[1] != 1:
                continue
            rows = data[:: max(1, len(data) // per_chunk), 0]
            new = [torch.tensor(float(len(rows))), rows.sum(0, dtype=torch.float64), (rows.T @ rows).double()]
            old = sums.get(index)
            sums[index] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    evaluate(graph, _samples(ctx).inputs, observe=add)
    result: list[Tensor | None] = []
    for index in range(len(found)):
        if index not in sums:
            result.append(None)
            continue
        count, first, second = sums[index]
        second = second / count - torch.outer(first / count, first / count)
        second += torch.eye(len(second), dtype=torch.float64) * (DAMPING * second.diagonal().mean()).clamp(min=1e-12)
        result.append(second)
    return result


class _Surgeon:
    """One reader: what its outputs lose when groups of ``family`` leave one after the other."""

    def __init__(self, graph: Graph, reader: Reader, second: Tensor, family: Indices) -> None:
        weight = graph.array(reader.part.weight).astype(np.float64)
        self.weight = torch.from_numpy(weight.reshape(len(weight), -1).T.copy())
        self.inverse = torch.linalg.inv(second)
        self.energy = float(((second @ self.weight) * self.weight).sum()) or 1.0
        labels = np.tile(reader.labels, len(self.weight) // len(reader.labels))
        self.places = [torch.from_numpy(np.flatnonzero(labels == group)) for group in family]

    def losses(self, alive: list[int]) -> FloatArray:
        """By group still there: the share of the outputs' variance that goes with it."""
        found = np.zeros(len(self.places))
        by_size: dict[int, list[int]] = {}
        for group in alive:
            by_size.setdefault(len(self.places[group]), []).append(group)
        for size, members in by_size.items():
            if size:
                where = torch.stack([self.places[group] for group in members])
                blocks = self.inverse[where[:, :, None], where[:, None, :]]
                rows = self.weight[where]
                found[members] = (torch.linalg.solve(blocks, rows) * rows).sum((1, 2)).numpy() / self.energy
        return found

    def remove(self, group: int) -> None:
        where = self.places[group]
        if len(where):
            factor = torch.linalg.solve(self.inverse[where][:, where], self.inverse[where])
            self.weight = self.weight - factor.T @ self.weight[where]
            self.inverse = self.inverse - self.inverse[:, where] @ factor


def _eliminate(parts: list[_Surgeon], count: int) -> FloatArray:
    """Groups 0 … count-1 removed, the least first: by group, its loss, never below that of one removed before."""
    alive, level = list(range(count)), 0.0
    scores = np.zeros(count)
    while alive:
        losses = np.sum([part.losses(alive) for part in parts], axis=0)
        least = min(alive, key=lambda group: losses[group])
        level = max(level, float(losses[least]))
        scores[least] = level
        alive.remove(least)
        if alive:
            for part in parts:
                part.remove(least)
    return scores


Measure = Callable[[Graph, ChannelGroups, list[Indices], Context], FloatArray]
MEASURES: dict[str, Measure] = {
    "l1": _norms(1),
    "l2": _norms(2),
    "batchnorm": _batchnorm,
    "variance": _variance,
    "apoz": _zeros,
    "taylor": _taylor,
    "reconstruction": _reconstruction,
}
