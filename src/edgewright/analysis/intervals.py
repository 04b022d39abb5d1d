"""Within which integers each element of each value stays, at the integer level, whatever the inputs are.

A layer whose sums can only come out as one integer, because they are clamped or rounded to it from end to end, is constant although its
weights are not zero. Such channels are frequent where a network was trained with weight decay and clamped activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.bounds import Bounds, value_bounds
from edgewright.analysis.linear import Linear, linear, without_activation
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ops.pointwise import lookup_table
from edgewright.ops.requant import INT32_MAX, INT32_MIN, tensor_quant

Interval = tuple[Tensor, Tensor]
"""Least and greatest integer of every element of one sample: torch.int32."""


class Intervals:
    """Intervals of the values of an integer graph, entered in the order of its nodes."""

    def __init__(self, graph: Graph, constants: Mapping[str, Tensor]) -> None:
        self.graph = graph
        self._bounds: dict[str, Bounds] = value_bounds(graph)
        self._found: dict[str, Interval] = {name: (tensor, tensor) for name, tensor in constants.items()}

    def of(self, name: str) -> Interval:
        """The interval of value ``name``; what its type and bounds allow where nothing was entered."""
        if name not in self._found:
            value, (low, high) = self.graph.value(name), self._bounds[name]
            self._found[name] = _whole(value, int(low)), _whole(value, int(high))
        return self._found[name]

    def know(self, name: str, mask: Tensor, numbers: Tensor) -> None:
        """Elements of ``name`` under ``mask`` hold ``numbers``."""
        low, high = self.of(name)
        self._found[name] = torch.where(mask, numbers, low), torch.where(mask, numbers, high)

    def advance(self, node: Node) -> None:
        """Enter the output of ``node``, where its operator tells something of it."""
        outs = self.graph.outs(node)
        if len(outs) != 1 or not all(value.dtype.is_integer for value in (*self.graph.ins(node), *outs)):
            return
        part = linear(self.graph, node)
        if part is not None:
            found = self._of_sums(part, outs[0])
        elif node.op.pointwise and outs[0].dtype is DType.INT8 and self.graph.value(node.inputs[0]).dtype is DType.INT8:
            found = self._of_table(node, outs[0])
        elif (node.op.monotone or node.op.same_quant) and not node.op.index_inputs:
            found = self._ends(node, outs)
        else:
            return
        low, high = self._bounds[outs[0].name]
        self._found[outs[0].name] = found[0].clamp(int(low), int(high)), found[1].clamp(int(low), int(high))

    def _ends(self, node: Node, outs: Sequence[Value]) -> Interval:
        """A monotone operator: evaluated at both ends."""
        ins = self.graph.ins(node)
        low, high = (node.op.evaluate_integer([self.of(name)[end] for name in node.inputs], ins, outs)[0] for end in (0, 1))
        return low.to(torch.int32), high.to(torch.int32)

    def _of_table(self, node: Node, out: Value) -> Interval:
        """Any scalar function: the extremes of its table between both ends."""
        source = self.graph.value(node.inputs[0])
        table = torch.from_numpy(lookup_table(node.op, source, out).astype(np.int32))
        low, high = self.of(source.name)
        pairs, place = torch.unique(torch.stack([low.reshape(-1), high.reshape(-1)], 1) + 128, dim=0, return_inverse=True)
        parts = [table[int(first):int(last) + 1] for first, last in pairs.tolist()]
        least = torch.stack([part.min() for part in parts])
        greatest = torch.stack([part.max() for part in parts])
        return least[place].reshape(low.shape), greatest[place].reshape(low.shape)

    def _of_sums(self, part: Linear, out: Value) -> Interval:
        """A layer: its sums at both ends, channel by channel, brought through its own rounding and clamping.

        Rounding and clamping are monotone as long as nothing overflows 32 bits; channels where that is not sure keep their whole range.
        """
        graph = self.graph
        weight = torch.from_numpy(graph.array(part.weight).astype(np.float64))
        low, high = (end.to(torch.float64) - tensor_quant(graph.value(part.data))[1] for end in self.of(part.data))
        op = without_activation(part.node.op)
        rising, falling = weight.clamp(min=0), weight.clamp(max=0)
        least = op.evaluate([low, rising])[0] + op.evaluate([high, falling])[0]
        greatest = op.evaluate([high, rising])[0] + op.evaluate([low, falling])[0]
        bias = 0 if part.bias is None else torch.from_numpy(graph.array(part.bias).astype(np.float64))
        axes = tuple(range(least.ndim - 1))
        ends = least.amin(axes) + bias, greatest.amax(axes) + bias
        safe = _never_shifted_left(graph, part, out) & (ends[0] >= INT32_MIN) & (ends[1] <= INT32_MAX)
        whole = [_whole(out, int(bound)) for bound in self._bounds[out.name]]
        results = [self._rounded(part, out, torch.where(safe, end, 0.0).to(torch.int32)) for end in ends]
        return torch.where(safe, results[0], whole[0]), torch.where(safe, results[1], whole[1])

    def _rounded(self, part: Linear, out: Value, sums: Tensor) -> Tensor:
        """What the layer makes of ``sums`` (one an output channel): its output for inputs at the zero point, with them as its bias."""
        data = self.graph.value(part.data)
        x = _whole(data, tensor_quant(data)[1])
        ins = list(self.graph.ins(part.node))
        if part.bias is None:
            ins.append(Value(f"{part.weight}_sums", (len(sums),), DType.INT32, Quant.per_tensor(1.0, 0, DType.INT32)))
        weight = torch.from_numpy(self.graph.array(part.weight).astype(np.int32))
        return part.node.op.evaluate_integer([x, weight, sums], ins, [out])[0].to(torch.int32)


def _whole(value: Value, number: int) -> Tensor:
    return torch.full(value.sample_shape, number, dtype=torch.int32)


def _never_shifted_left(graph: Graph, part: Linear, out: Value) -> Tensor:
    """By output channel: whether the factor from sums to outputs is below 1, so that nothing is shifted to the left before rounding."""
    weight = graph.value(part.weight)
    if weight.quant is None:
        return torch.zeros(int(weight.shape[0] or 0), dtype=torch.bool)
    scales = np.broadcast_to(np.asarray(weight.quant.scale, np.float64), (int(weight.shape[0] or 0),))
    factors = scales * tensor_quant(graph.value(part.data))[0] / tensor_quant(out)[0]
    return torch.from_numpy(factors < 0.999)
