"""What the outputs of a float network lose where one layer's weights, or one activation, are rounded to fewer bits, and all else stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.linear import Linear, bias_array, linear
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Node, Value
from edgewright.numerics.scales import weight_scales
from edgewright.ops.evaluate import snap
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.requant import affine_quant
from edgewright.ops.softmax import Softmax
from edgewright.passes.precision.rounded import Method, Reals, round_layer
from edgewright.passes.side_by_side import moments

SWEEPS = 5
RIDGE = 0.1


def sensitivities(
    graph: Graph, inputs: Sequence[NDArray[np.generic]], layers: Mapping[str, Linear], widths: Sequence[DType]
) -> dict[str, list[float]]:
    """Layer name → the loss of the outputs with its weights in each of ``widths``, rounded by the layer's output.

    The loss of a classifier is the mean Kullback-Leibler divergence from the float network's answers, in nats; of other outputs, the
    squared error over the variance. Losses of several layers add up as long as they are small.
    """
    constants, held = _floats(graph, inputs)
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    found: dict[str, list[float]] = {}
    with torch.inference_mode():
        wanted = _finish(graph, dict(held), constants, 0)
        for place, node in enumerate(graph.nodes):
            part = layers.get(node.name)
            if part is not None:
                found[node.name] = []
                for weight, bias in _candidates(graph, part, held[part.data], widths):
                    changed = dict(held)
                    arrays = [torch.from_numpy(array) for array in (weight, bias)]
                    _run(node, changed, [held[part.data], *arrays])
                    found[node.name].append(_loss(graph, wanted, _finish(graph, changed, constants, place + 1)))
            _step(graph, node, held, constants, last)
    return found


def rounding_losses(graph: Graph, inputs: Sequence[NDArray[np.generic]], grids: Mapping[str, Value]) -> dict[str, float]:
    """Name of an activation → the loss of the outputs, as :func:`sensitivities` has it, with that one alone on its grid (``grids``)."""
    constants, held = _floats(graph, inputs)
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    found: dict[str, float] = {}
    with torch.inference_mode():
        wanted = _finish(graph, dict(held), constants, 0)

        def lost(name: str, start: int) -> float:
            rounded, quant, maker = snap(grids[name], held[name]), grids[name].quant, graph.producers.get(name)
            if name in graph.kept and quant is not None and maker is not None and isinstance(maker.op, Softmax):
                rounded = rounded.clamp(min=quant.scale[0] / 2)  # a share below half a step is not impossible, only unknown
            return _loss(graph, wanted, _finish(graph, {**held, name: rounded}, constants, start))

        found |= {name: lost(name, 0) for name in graph.inputs if name in grids}
        for place, node in enumerate(graph.nodes):
            _step(graph, node, held, constants, last)
            found |= {name: lost(name, place + 1) for name in node.outputs if name in grids and name in held}
    return found


def _floats(graph: Graph, inputs: Sequence[NDArray[np.generic]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Constants and inputs by name."""
    constants = {name: torch.from_numpy(constant.array.astype(np.float32)) for name, constant in graph.constants.items()}
    return constants, {name: torch.from_numpy(np.array(array, np.float32)) for name, array in zip(graph.inputs, inputs, strict=True)}


def _step(graph: Graph, node: Node, held: dict[str, Tensor], constants: Mapping[str, Tensor], last: Mapping[str, str]) -> None:
    """``node`` as it is; what nothing reads any more is dropped."""
    _run(node, held, [constants[name] if name in constants else held[name] for name in node.inputs])
    for name in node.inputs:
        if last[name] == node.name and name not in graph.kept:
            held.pop(name, None)


def _candidates(graph: Graph, part: Linear, x: Tensor, widths: Sequence[DType]) -> list[tuple[Reals, Reals]]:
    """Weight and bias in each of ``widths``."""
    scale = affine_quant(float(x.min()), float(x.max())).scale[0]
    seen = moments(graph, part, x, x)
    found = []
    for dtype in widths:
        if seen is None:
            weight = graph.array(part.weight).astype(np.float32)
            scales = weight_scales(weight, dtype=dtype, method="mse").reshape(-1, *[1] * (weight.ndim - 1))
            nearest = np.clip(np.rint(weight / scales), dtype.minimum, dtype.maximum) * scales
            found.append((np.asarray(nearest, np.float32), bias_array(graph, part).astype(np.float32)))
            continue
        rounded = round_layer(graph, part, seen, Method(sweeps=SWEEPS, ridge=RIDGE), dtype=dtype, input_scale=scale)
        found.append((rounded.weight, rounded.bias.astype(np.float32)))
    return found


def _run(node: Node, held: dict[str, Tensor], tensors: Sequence[Tensor]) -> None:
    held.update(zip(node.outputs, node.op.evaluate(tensors), strict=True))


def _finish(graph: Graph, held: dict[str, Tensor], constants: Mapping[str, Tensor], start: int) -> dict[str, Tensor]:
    """The outputs after the nodes from ``start`` on; ``held`` is what is known before them, and is used up."""
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes[start:]:
        _step(graph, node, held, constants, last)
    return {name: constants[name] if name in constants else held[name] for name in graph.outputs}


def _loss(graph: Graph, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> float:
    return sum(_output_loss(graph, name, wanted[name], found[name]) for name in graph.outputs)


def _output_loss(graph: Graph, name: str, wanted: Tensor, found: Tensor) -> float:
    maker = graph.producers.get(name)
    classes = wanted.shape[-1] if wanted.ndim == 2 else 1
    if classes < 2:
        spread = float(wanted.double().var(correction=0))
        return float((found - wanted).double().square().mean()) / max(spread, 1e-30)
    first, second = (_log_probabilities(maker, x.double()) for x in (wanted, found))
    return max(0.0, float(F.kl_div(second, first, log_target=True, reduction="batchmean")))


def _log_probabilities(maker: Node | None, x: Tensor) -> Tensor:
    if maker is not None and isinstance(maker.op, Softmax):
        return torch.log_softmax(torch.log(x.clamp(min=1e-12)), -1)  # rounded shares do not add up to 1
    return x if maker is not None and isinstance(maker.op, LogSoftmax) else torch.log_softmax(x, -1)


def weighted_layers(graph: Graph) -> dict[str, Linear]:
    """Layers whose constant weight they alone read, by name, in order."""
    parts = [part for node in graph.nodes if (part := linear(graph, node)) is not None]
    return {part.node.name: part for part in parts if len(graph.consumers[part.weight]) == 1}
