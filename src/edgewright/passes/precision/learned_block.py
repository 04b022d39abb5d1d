"""Layers of a quantized network as they are learned: integers that go up or down by a share, step sizes, biases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewright.analysis.linear import Linear, bias_array, linear
from edgewright.analysis.spans import Span
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Node
from edgewright.numerics.soft_rounding import latent_of, on_grid, share
from edgewright.ops.levels import group_factors

Reals = NDArray[np.float32]
Held = dict[str, Tensor]
DECIDED = 0.1
"""A share starts at most so far from the end that the start has chosen."""
EDGE = 0.01
"""A share that starts at an end would have no gradient."""
STEP_RATE, BIAS_RATE = 2e-3, 2e-3
"""Learning rates of step sizes, relative, and of biases, in spreads of the layer's output."""


@dataclass
class Grids:
    """A quantized graph as the blocks see it: constants on their grids, the grids of values as they are by now, and who shares one."""

    graph: Graph
    constants: Mapping[str, Tensor]
    quants: dict[str, Quant | None]
    groups: Mapping[str, str]
    generator: torch.Generator


class Layer(nn.Module):
    """A layer with weights as it is learned: integers of which each may go one up or down, their step by channel, the bias."""

    def __init__(self, graph: Graph, part: Linear, floats: NDArray[np.float32] | None) -> None:
        super().__init__()
        constant, quant = graph.constants[part.weight], graph.value(part.weight).quant
        assert quant is not None
        weight, structure = constant.array.astype(np.float32), constant.structure
        self.part, self.quant = part, quant
        integers = quant.to_integer(weight).astype(np.float32)
        units, low, high = np.ones_like(integers), quant.dtype.minimum, quant.dtype.maximum
        if structure is not None and structure.group is not None:
            units, low, high = group_factors(integers, structure.group).astype(np.float32), DType.INT4.minimum, DType.INT4.maximum
        if structure is not None and (structure.mask is not None or structure.pattern is not None):
            units = units * (structure.mask if structure.mask is not None else weight != 0)
        self.fixed = structure is not None and structure.codebook is not None
        self.integers, self.units = torch.from_numpy(integers), torch.from_numpy(units)
        self.step = torch.from_numpy(np.array(quant.scales(weight.ndim)))
        whole = self.units.clamp(min=1)
        real = torch.from_numpy(weight if floats is None else floats) / self.step / whole
        self.base, part_up = _either(real, None if floats is None else self.integers / whole, low, high)
        self.latent = nn.Parameter(latent_of(part_up))
        self.log_step = nn.Parameter(torch.zeros_like(self.step))
        out = graph.value(part.node.outputs[0]).quant
        self.spread = 1.0 if out is None else float(out.scale[0]) * (out.dtype.maximum - out.dtype.minimum) / 8
        self.first_bias = torch.from_numpy(bias_array(graph, part).astype(np.float32))
        self.moved = nn.Parameter(torch.zeros_like(self.first_bias))

    def weight(self, hard: bool) -> Tensor:
        """The weights, soft in learning, or with every share at the nearer end."""
        if self.fixed:
            return self.integers * self.step
        up = share(self.latent)
        return (self.base + (up.round() if hard else up)) * self.units * (self.step * torch.exp(self.log_step))

    def bias(self) -> Tensor:
        return self.first_bias + self.spread * self.moved

    def settled(self) -> tuple[NDArray[np.float32], Quant, NDArray[np.float32]]:
        """(weight, its grid, bias) as they were learned."""
        with torch.no_grad():
            steps = np.asarray((self.step * torch.exp(self.log_step)).reshape(-1).expand(self.step.numel()), np.float32)
            quant = dataclasses.replace(self.quant, scale=tuple(float(step) for step in steps))
            integers = self.integers if self.fixed else (self.base + share(self.latent).round()) * self.units
            return quant.to_real(integers.numpy()), quant, np.asarray(self.bias(), np.float32)


def _either(real: Tensor, integers: Tensor | None, low: int, high: int) -> tuple[Tensor, Tensor]:
    """(lower integers, shares): each weight between two integers, that of the start (where there is one) and the next towards ``real``."""
    if integers is None:
        base = real.floor().clamp(low, high - 1)
        return base, (real - base).clamp(EDGE, 1 - EDGE)
    base = torch.where(real >= integers, integers, integers - 1).clamp(low, high - 1)
    part = (real - base).clamp(0.0, 1.0)
    return base, torch.where(integers > base, part.clamp(min=1 - DECIDED), part.clamp(max=DECIDED))


class Block(nn.Module):
    """A span with what is learned in it."""

    def __init__(self, grids: Grids, span: Span, steps: Container[str], floats: Callable[[Linear], Reals | None]) -> None:
        """``steps``: the groups whose step size is learned here; ``floats``: the real weights behind the integers of a layer."""
        super().__init__()
        self.grids, self.span, graph = grids, span, grids.graph
        made = [grids.groups[name] for node in span for name in node.outputs if name in grids.groups]
        groups = [group for group in dict.fromkeys(made) if group in steps]
        self.keys = {group: str(index) for index, group in enumerate(groups)}
        self.logs = nn.ParameterDict({key: nn.Parameter(torch.zeros(())) for key in self.keys.values()})
        self.layers = nn.ModuleDict()
        self.places: dict[str, str] = {}
        for index, node in enumerate(span):
            part = linear(graph, node)
            quant = None if part is None else graph.value(part.weight).quant
            if part is not None and quant is not None and quant.axis == 0 and graph.value(part.data).quant is not None:
                self.layers[str(index)] = Layer(graph, part, floats(part))
                self.places[node.name] = str(index)

    def parts(self) -> list[Layer]:
        return [layer for layer in self.layers.values() if isinstance(layer, Layer)]

    def forward(self, held: Mapping[str, Tensor], hard: bool, drop: float) -> Held:
        """Values of the span from those that it reads; ``drop``: the part that is left off its grid at random."""
        found, constants = dict(held), self.grids.constants
        for node in self.span:
            tensors = [constants[name] if name in constants else found[name] for name in node.inputs]
            if node.name in self.places:
                layer = self.layers[self.places[node.name]]
                assert isinstance(layer, Layer)
                tensors[1:] = [layer.weight(hard), layer.bias()]
            for name, result in zip(node.outputs, node.op.evaluate(tensors), strict=True):
                found[name] = self._snapped(node, name, result, drop)
        return found

    def _snapped(self, node: Node, name: str, x: Tensor, drop: float) -> Tensor:
        quants = self.grids.quants
        quant = quants[name]
        moved = [other for index, other in enumerate(node.inputs) if index not in node.op.index_inputs]
        if quant is None or (node.op.same_quant and all(quants[other] == quant for other in moved)):
            return x
        step = torch.tensor(quant.scale[0])
        key = self.keys.get(self.grids.groups.get(name, ""))
        if key is not None:
            step = step * torch.exp(self.logs[key])
        kept = torch.rand(x.shape, generator=self.grids.generator) < drop if drop else None
        return on_grid(x, step, quant.zero_point[0], quant.dtype.minimum, quant.dtype.maximum, kept)

    def learned(self, rate: float, scales: bool) -> list[dict[str, Any]]:
        """What is learned, and how fast; shares, at ``rate``, stand first where there are any."""
        free = [layer for layer in self.parts() if not layer.fixed]
        groups: list[dict[str, Any]] = [{"params": [layer.latent for layer in free], "lr": rate}]
        if scales:
            groups += [{"params": [layer.log_step for layer in free], "lr": STEP_RATE}]
            groups += [{"params": [layer.moved for layer in self.parts()], "lr": BIAS_RATE}]
        groups.append({"params": list(self.logs.values()), "lr": STEP_RATE})
        return [group for group in groups if group["params"]]
