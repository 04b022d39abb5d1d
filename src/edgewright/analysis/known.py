"""Which elements of which values are the same whatever the inputs are, and what they hold.

Found by running the operators forward on what is known: an element is known where no unknown element reaches it through a weight that is
not zero, and, at the integer level, where it can come out as one integer only (see :mod:`edgewright.analysis.intervals`). The numbers come
from the operators' own evaluation, so clamps, rounding and padding are those of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.intervals import Intervals
from edgewright.analysis.linear import linear, without_activation
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ops.evaluate import constant_tensors


@dataclass(frozen=True, eq=False)
class Known:
    """One sample of a value (batch 1): ``mask`` tells which elements are known, ``array`` holds their numbers (and zeros elsewhere)."""

    mask: NDArray[np.bool_]
    array: NDArray[np.generic]

    def slabs(self, axis: int) -> NDArray[np.bool_]:
        """By index along ``axis``: whether all elements there are known."""
        others = tuple(other for other in range(self.mask.ndim) if other != axis)
        return np.asarray(self.mask.all(axis=others))


def known_elements(graph: Graph) -> dict[str, Known]:
    """Value name → what is known of it; values of which nothing is known are left out. Constants stand with every element known.

    A state is known where its initial value is what every call writes back: assumed at first, and given up until that holds.
    """
    constants = constant_tensors(graph)
    fixed = {name: Known(np.ones(tensor.shape, bool), tensor.numpy()) for name, tensor in constants.items()}
    states = {}
    for state in graph.states:
        shape = graph.value(state.read).sample_shape
        states[state.read] = Known(np.ones(shape, bool), np.broadcast_to(fixed[state.initial].array, shape).copy())
    while True:
        found = {**fixed, **{name: known for name, known in states.items() if known.mask.any()}}
        intervals = Intervals(graph, constants) if graph.level is Level.INTEGER else None
        with torch.inference_mode():
            for name, known in states.items():
                _know(intervals, name, known)
            for node in graph.nodes:
                _advance(graph, node, found, intervals)
        settled = True
        for state in graph.states:
            before, written = states[state.read], found.get(state.write)
            if written is None:
                mask = np.zeros_like(before.mask)
            else:
                mask = before.mask & written.mask & (before.array == written.array)
            if not np.array_equal(mask, before.mask):
                states[state.read] = Known(mask, np.where(mask, before.array, 0))
                settled = False
        if settled:
            return found


def _know(intervals: Intervals | None, name: str, known: Known) -> None:
    if intervals is not None and intervals.graph.value(name).dtype.is_integer:
        intervals.know(name, torch.from_numpy(known.mask), torch.from_numpy(known.array.astype(np.int32)))


def _advance(graph: Graph, node: Node, found: dict[str, Known], intervals: Intervals | None) -> None:
    """Enter what is known of the outputs of ``node``."""
    if intervals is not None:
        intervals.advance(node)
        for value in graph.outs(node):
            if value.dtype.is_integer:
                low, high = intervals.of(value.name)
                if bool((low == high).any()):
                    mask = (low == high).numpy()
                    found[value.name] = Known(mask, np.where(mask, low.numpy(), 0))
    masks = _reached(graph, node, found)
    if not any(mask.any() for mask in masks):
        return
    ins, outs = graph.ins(node), graph.outs(node)
    inputs = [_numbers(graph, value, found) for value in ins]
    results: Sequence[Tensor]
    results = node.op.evaluate_integer(inputs, ins, outs) if graph.level is Level.INTEGER else node.op.evaluate(inputs)
    for value, mask, result in zip(outs, masks, results, strict=True):
        if mask.any():
            array = result.numpy()
            known = Known(mask, np.where(mask, array, np.zeros_like(array)))
            before = found.get(value.name)
            if before is not None:
                known = Known(mask | before.mask, np.where(mask, known.array, before.array))
            found[value.name] = known
            _know(intervals, value.name, known)


def _reached(graph: Graph, node: Node, found: Mapping[str, Known]) -> list[NDArray[np.bool_]]:
    """By output: the elements that no unknown element reaches.

    Unknown elements run through the float evaluation as NaN, which arithmetic, maxima and gathers hand on. Through a constant weight
    they run as ones against its non-zero places, so that a zero weight stops them.
    """
    part = linear(graph, node)
    if part is not None:
        unknown = ~_mask(graph.value(part.data), found)
        weight = torch.from_numpy((graph.array(part.weight) != 0).astype(np.float32))
        (count,) = without_activation(node.op).evaluate([torch.from_numpy(unknown.astype(np.float32)), weight])
        return [(count < 0.5).numpy()]
    inputs = []
    for value in graph.ins(node):
        if graph.is_constant(value.name):
            inputs.append(torch.from_numpy(found[value.name].array.astype(np.float32)))
        else:
            inputs.append(torch.from_numpy(np.where(_mask(value, found), np.float32(0), np.float32("nan"))))
    return [torch.isfinite(result).numpy() for result in node.op.evaluate(inputs)]


def _mask(value: Value, found: Mapping[str, Known]) -> NDArray[np.bool_]:
    known = found.get(value.name)
    return np.zeros(value.sample_shape, bool) if known is None else known.mask


def _numbers(graph: Graph, value: Value, found: Mapping[str, Known]) -> Tensor:
    """Known elements as the evaluation takes them, zeros (the zero point, for integers) elsewhere."""
    known = found.get(value.name)
    integer = graph.level is Level.INTEGER and value.dtype.is_integer
    kind = np.int32 if integer else np.float32
    rest = value.quant.zero_point[0] if integer and value.quant is not None and value.quant.axis is None else 0
    if known is None:
        return torch.from_numpy(np.full(value.sample_shape, rest, kind))
    return torch.from_numpy(np.where(known.mask, known.array, rest).astype(kind))
