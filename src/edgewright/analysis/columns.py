"""Layers with weights as matrix products: what each row of the weight is multiplied with at every position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.analysis.linear import Linear
from edgewright.ir.graph import Graph


def as_matrices(weight: Tensor, channels: int) -> Tensor:
    """Weights (O, …, I) of a layer with ``channels`` input channels as (groups, O / groups, taps * I)."""
    return weight.reshape(channels // weight.shape[-1], -1, weight[0].numel())


def columns(graph: Graph, part: Linear, x: Tensor) -> Tensor | None:
    """The numbers that meet the weights, in the order of :func:`as_matrices`: (positions, groups, taps * I).

    ``x``: the layer's data, any batch. None where the operator is not a product over a window of its input.
    """
    shape = tuple(int(size or 1) for size in graph.value(part.weight).shape)
    if len(shape) == 2:
        return x.reshape(-1, 1, x.shape[-1])
    window = part.node.op.window(graph.ins(part.node))
    if window is None or len(shape) != 4 or window.kernel != shape[1:3] or x.ndim != 4:
        return None
    (top, bottom), (left, right) = window.padding
    planes = F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    taps = F.unfold(planes, shape[1:3], dilation=window.dilation, stride=window.stride)
    groups = x.shape[3] // shape[3]
    taps = taps.reshape(x.shape[0], groups, shape[3], shape[1] * shape[2], -1)
    return taps.permute(0, 4, 1, 3, 2).reshape(-1, groups, shape[1] * shape[2] * shape[3])


def product(matrices: Tensor, column: Tensor) -> Tensor:
    """(groups, O / groups, K) and (positions, groups, K) → sums (positions, O)."""
    return torch.einsum("gok,pgk->pgo", matrices, column).reshape(column.shape[0], -1)
