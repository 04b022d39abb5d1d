"""Calibration samples without data: inputs whose activations have the statistics that batch norm kept from training.

Source: ZeroQ, Cai et al. 2020 (arXiv:2001.00281).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewright.data import Data, load_data
from edgewright.errors import DataError
from edgewright.ir.graph import Graph, Level, Value
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.evaluate import constant_tensors, run_nodes

SYNTHESIZED = "synthesized"
BATCH = 32
SCALES = tuple(4.0**power for power in range(-2, 5))
"""Sizes of the noise that is started from; the one whose statistics fit best is taken."""
RATE = 0.1
"""Step of Adam, as a share of the noise's size."""


def synthesize(graph: Graph, *, count: int = 64, steps: int = 100, seed: int = 0) -> Data:
    """``count`` samples for float ``graph``, which must still have its batch norms, made from noise by ``steps`` of gradient descent.

    What is brought down is the distance of mean and variance, channel by channel, of what every batch norm reads. DataError where there is
    none to learn from: folded networks have forgotten what their inputs were like.
    """
    norms = [node for node in graph.nodes if isinstance(node.op, BatchNorm) and all(graph.is_constant(name) for name in node.inputs[1:])]
    if graph.level is not Level.FLOAT or not norms or graph.states:
        raise DataError(
            f"nothing in {graph.name!r} tells what its inputs are like: it has no batch norm",
            hint="give samples, or the network as it was trained, batch norms not folded",
        )
    torch.manual_seed(seed)
    loss = _Loss(graph, {node.inputs[0]: node.inputs[3:5] for node in norms})
    batches = [_descend(graph, loss, min(BATCH, count - start), steps) for start in range(0, count, BATCH)]
    return Data(tuple(np.concatenate(parts) for parts in zip(*batches, strict=True)), source="synthesized samples")


def samples_for(graph: Graph, data: Any, seed: int = 0) -> Data:
    """Calibration samples for ``graph`` from ``data``: what :func:`edgewright.data.load_data` takes, or "synthesized"."""
    return synthesize(graph, seed=seed) if isinstance(data, str) and data == SYNTHESIZED else load_data(data, graph)


class _Loss:
    """How far the statistics of inputs are from those of training."""

    def __init__(self, graph: Graph, statistics: dict[str, tuple[str, ...]]) -> None:
        """``statistics``: what a batch norm reads → its constants mean and variance."""
        self.graph, self.statistics = graph, statistics
        self.constants = constant_tensors(graph)

    def __call__(self, inputs: list[Tensor]) -> Tensor:
        terms: list[Tensor] = []

        def observe(value: Value, x: Tensor) -> None:
            if value.name in self.statistics:
                mean, variance = (self.constants[name] for name in self.statistics[value.name])
                rows = x.reshape(-1, x.shape[-1])
                spread = variance + 1e-5
                terms.append(((rows.mean(0) - mean).square() / spread).mean())
                terms.append((torch.log((rows.var(0, correction=0) + 1e-5) / spread)).square().mean())

        run_nodes(self.graph, inputs, self.constants, {}, observe)
        return torch.stack(terms).mean()


def _descend(graph: Graph, loss: _Loss, count: int, steps: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    noise = [torch.randn(count, *graph.value(name).sample_shape[1:]) for name in graph.inputs]
    with torch.no_grad():
        scale = min(SCALES, key=lambda size: float(loss([size * x for x in noise])))
    inputs = [(scale * x).requires_grad_() for x in noise]
    optimizer = torch.optim.Adam(inputs, RATE * scale)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(inputs).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [x.detach().numpy() for x in inputs]
