"""A quantized network walked beside its float original, layer by layer, so that each layer can be mended before the next one is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.columns import columns
from edgewright.analysis.linear import Linear, linear
from edgewright.ir.graph import Graph
from edgewright.numerics.rounding import Moments
from edgewright.ops.evaluate import quantized_constant, snap

MOST_BYTES = 1 << 30
"""Of the activations that live at once, both networks together: fewer samples are taken where they would need more."""
POSITIONS = 1 << 17
"""Positions of a layer's output that its moments are taken from, evenly spread over samples and places."""
CHUNK_NUMBERS = 1 << 23
"""Numbers of unfolded data at a time."""
LEAST_VARIANCE = 1e-5
"""Of the second moment about zero: less is taken for rounding, as float32 products leave it."""
Mend = Callable[[Linear, Tensor, Tensor], Sequence[NDArray[np.float32]] | None]
"""Called as mend(layer, float data, quantized data); gives weight and bias to compute the quantized layer with, None: its own."""


def walk(graph: Graph, inputs: Sequence[NDArray[np.generic]], mend: Mend) -> None:
    """Run quantized ``graph`` and, beside it, the floats that it came from; ``mend`` every layer with constant weights, in order."""
    exact = {name: torch.from_numpy(constant.array.astype(np.float32)) for name, constant in graph.constants.items()}
    snapped = {name: torch.from_numpy(quantized_constant(graph, name)) for name in graph.constants}
    first = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in zip(graph.inputs, inputs, strict=True)}
    second = {name: snap(graph.value(name), x) for name, x in first.items()}
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    with torch.inference_mode():
        for node in graph.nodes:
            part = linear(graph, node)
            mended = None if part is None else mend(part, first[part.data], second[part.data])
            for held, known in ((first, exact), (second, snapped)):
                inputs_of = [known[name] if name in known else held[name] for name in node.inputs]
                if held is second and mended is not None:
                    inputs_of[1:] = [torch.from_numpy(array) for array in mended]
                results = node.op.evaluate(inputs_of)
                for name, result in zip(node.outputs, results, strict=True):
                    held[name] = snap(graph.value(name), result) if held is second else result
            for name in node.inputs:
                if last[name] == node.name:
                    first.pop(name, None)
                    second.pop(name, None)


def affordable(graph: Graph, samples: int) -> int:
    """As many of ``samples`` as both networks' activations fit into memory for."""
    largest = max((value.elements for name, value in graph.values.items() if name not in graph.constants), default=1)
    return max(1, min(samples, MOST_BYTES // (6 * 4 * largest)))


def moments(graph: Graph, part: Linear, floats: Tensor, quantized: Tensor) -> Moments | None:
    """What the layer is fed with in both networks; None where its operator is not a product over a window."""
    one = columns(graph, part, quantized[:1])
    if one is None:
        return None
    samples, (places, groups, size) = len(quantized), one.shape
    stride = max(1, -(-samples * places // POSITIONS))
    step = max(1, CHUNK_NUMBERS // max(1, one.numel()))
    sums = torch.zeros(2, groups, size, dtype=torch.float64)
    products = torch.zeros(2, groups, size, size, dtype=torch.float64)
    count = start = 0
    for begin in range(0, samples, step):
        pair = [columns(graph, part, x[begin : begin + step]) for x in (quantized, floats)]
        seen = (begin + len(quantized[begin : begin + step])) * places
        picked = [x[start - begin * places :: stride].transpose(0, 1) for x in pair if x is not None]
        for index, x in enumerate(picked):
            sums[index] += x.sum(1, dtype=torch.float64)
            products[index] += (x.transpose(1, 2) @ picked[0]).double()
        count += picked[0].shape[1]
        start += -(-(seen - start) // stride) * stride
    means = sums / count
    centred = products / count - means[..., None] * means[0][:, None, :]
    return Moments(means[0], means[1], _positive(centred[0], products[0] / count), centred[1], count)


def _positive(centred: Tensor, raw: Tensor) -> Tensor:
    """``centred`` second moments (groups, K, K), kept clear of what rounding leaves of ``raw`` ones where the data hardly vary."""
    level, floor = (x.diagonal(dim1=1, dim2=2).mean(-1) for x in (centred, raw))
    missing = (LEAST_VARIANCE * floor - level).clamp(min=0.0)
    return centred if not bool(missing.any()) else centred + missing[:, None, None] * torch.eye(centred.shape[-1], dtype=centred.dtype)
