"""Spans of a quantized network learned one after the other, so that each gives what the float network gives."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.linear import Edits, Linear, bias_array, linear
from edgewright.analysis.shared_steps import shared_steps
from edgewright.analysis.spans import Span
from edgewright.data import Data
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Value
from edgewright.numerics.scales import BIAS_STEPS, bias_quant
from edgewright.numerics.soft_rounding import LAST_POWER, power_at, share, slope_of_share, undecided
from edgewright.ops.evaluate import evaluate, quantized_constant, snap
from edgewright.passes.precision.learned_block import Block, Grids, Held, Layer
from edgewright.passes.registry import Context
from edgewright.passes.side_by_side import affordable

WARM_UP = 0.1
"""The part of the iterations in which shares are not pressed to 0 or 1 yet."""
BETAS = (0.9, 0.99)
"""Of Adam: the iterations are too few for its usual memory."""
POSITIONS, LEAST_BATCH = 8192, 4
"""A batch has about so many positions of the span's output, and at least so many samples."""
TELL_SECONDS = 1.0
CHUNK = 64
"""Samples at a time where nothing is learned."""
PROBES = 8
"""Batches that the size of gradients is measured on."""
HELD_OUT = 8
"""One of so many samples is held out."""


@dataclass(frozen=True)
class Effort:
    """How a span is learned.

    ``iterations`` of up to ``batch`` samples; ``rate``: the learning rate of shares; ``press``: how strong what makes them 0 or 1 is,
    in typical gradients of the loss to a share;
    ``drop``: the part of the activations that is left unrounded at random; ``steps``: whether step sizes of activations are learned too;
    ``scales``: whether those of weights are, and biases.
    """

    iterations: int
    batch: int = 32
    rate: float = 0.02
    press: float = 0.3
    drop: float = 0.5
    steps: bool = True
    scales: bool = True


class Reconstruction:
    """Both networks' values side by side, as far as the spans have come, and what was learned."""

    def __init__(
        self, graph: Graph, start: Graph, inputs: Sequence[NDArray[np.generic]], judges: int, effort: Effort, ctx: Context
    ) -> None:
        self.graph, self.effort, self.ctx = start, effort, ctx
        self.count, self.judges = len(inputs[0]), judges
        constants = {name: torch.from_numpy(np.array(quantized_constant(start, name))) for name in start.constants}
        quants = {name: value.quant for name, value in start.values.items()}
        self.grids = Grids(start, constants, quants, shared_steps(start), torch.Generator().manual_seed(ctx.seed))
        self.unsettled = {*self.grids.groups.values()} if effort.steps else set[str]()
        self.floats = None if start is graph else graph
        self.float_nodes = {node.name: node for node in graph.nodes}
        self.exact = {name: torch.from_numpy(constant.array.astype(np.float32)) for name, constant in graph.constants.items()}
        self.first = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in zip(start.inputs, inputs, strict=True)}
        self.second = {name: snap(start.value(name), x) for name, x in self.first.items()}
        self.learned: dict[str, Layer] = {}
        self.better: dict[str, tuple[float, float]] = {}
        self.kept: list[str] = []
        self.answers: Held = {}
        self.started = self.said = time.monotonic()

    def float_weight(self, part: Linear) -> NDArray[np.float32] | None:
        """The real weights behind the integers that ``part`` starts from; None where the graph has them itself."""
        return None if self.floats is None else self.floats.array(self.float_nodes[part.node.name].inputs[1]).astype(np.float32)

    def run(self, spans: Sequence[Span]) -> None:
        """Learn one span after the other."""
        last = {name: index for index, span in enumerate(spans) for node in span for name in node.inputs}
        last |= dict.fromkeys(self.graph.outputs, len(spans))
        for index, span in enumerate(spans):
            read = {name for node in span for name in node.inputs if name in self.first}
            outs = [name for node in span for name in node.outputs if last.get(name, -1) > index]
            targets = self._exactly(span, read, outs)
            if any(len(x) != self.count for x in targets.values()):
                self.ctx.skipped(span[-1].name, "what it gives has no axis for the samples: from there on nothing is learned")
                break
            self._learn(span, read, targets, (index, len(spans)))
            self.first |= targets
            for name in [name for name in self.first if last.get(name, -1) <= index]:
                del self.first[name], self.second[name]

    def _exactly(self, span: Span, read: set[str], outs: Sequence[str]) -> Held:
        """What the float network gives."""
        pieces: dict[str, list[Tensor]] = {name: [] for name in outs}
        with torch.no_grad():
            for begin in range(0, self.count, CHUNK):
                held = {name: self.first[name][begin : begin + CHUNK] for name in read}
                for node in (self.float_nodes[node.name] for node in span):
                    tensors = [self.exact[name] if name in self.exact else held[name] for name in node.inputs]
                    held.update(zip(node.outputs, node.op.evaluate(tensors), strict=True))
                for name in outs:
                    pieces[name].append(held[name])
        return {name: torch.cat(parts) for name, parts in pieces.items()}

    def _given(self, block: Block, read: set[str], outs: Sequence[str]) -> Held:
        """What the quantized network gives."""
        pieces: dict[str, list[Tensor]] = {name: [] for name in outs}
        with torch.no_grad():
            for begin in range(0, self.count, CHUNK):
                held = block({name: self.second[name][begin : begin + CHUNK] for name in read}, True, 0.0)
                for name in outs:
                    pieces[name].append(held[name])
        return {name: torch.cat(parts) for name, parts in pieces.items()}

    def error(self, found: Held, targets: Held) -> float:
        """The squared error on the samples held out, against the variance of the targets; summed over values."""
        judges = slice(-self.judges, None)
        errors = [(found[name][judges] - wanted[judges]).square().mean() / _spread(wanted) for name, wanted in targets.items()]
        return float(sum(errors, torch.zeros(())))

    def _learn(self, span: Span, read: set[str], targets: Held, place: tuple[int, int]) -> None:
        block = Block(self.grids, span, self.unsettled, self.float_weight)
        before = self._given(block, read, list(targets))
        if block.places and targets:
            self.answers = targets
            self._descend(block, read, targets, place)
            after = self._given(block, read, list(targets))
            errors = self.error(before, targets), self.error(after, targets)
            names = [layer.part.node.name for layer in block.parts()]
            if errors[1] < errors[0] and self._keep(block):
                self.better |= dict.fromkeys(names, errors)
                before = after
            else:
                self.kept += names
        self.unsettled -= {*block.keys}
        self.second |= before

    def _descend(self, block: Block, read: set[str], targets: Held, place: tuple[int, int]) -> None:
        effort, samples = self.effort, self.count - self.judges
        places = max(math.prod(x.shape[1:-1]) for x in targets.values())
        batch = min(effort.batch, max(LEAST_BATCH, POSITIONS // max(1, places)))
        optimizer = torch.optim.Adam(block.learned(effort.rate, effort.scales), betas=BETAS)
        free = [layer for layer in block.parts() if not layer.fixed]
        rates = [group["lr"] for group in optimizer.param_groups]
        press = effort.press * self._slope(block, read, targets, batch)
        for iteration in range(effort.iterations):
            rows = torch.randperm(samples, generator=self.grids.generator)[:batch]
            loss = self._loss(block, read, targets, rows)
            pressed = (iteration / effort.iterations - WARM_UP) / (1 - WARM_UP)
            if self.floats is not None or pressed >= 0:
                # What starts decided is held by the same barrier all along; what does not is let go first.
                power = LAST_POWER if self.floats is not None else power_at(pressed)
                loss = loss + press * sum((undecided(share(layer.latent), power) for layer in free), torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group, rate in list(zip(optimizer.param_groups, rates, strict=True))[1 if free else 0 :]:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * iteration / effort.iterations))
            optimizer.step()
            self._tell(place, iteration)

    def _loss(self, block: Block, read: set[str], targets: Held, rows: Tensor) -> Tensor:
        """The squared error of soft weights on samples ``rows``, summed over channels, in variances of the targets."""
        found = block({name: self._mixed(name, rows) for name in read}, False, self.effort.drop)
        return torch.stack([(found[name] - x[rows]).square().sum(-1).mean() / _spread(x) for name, x in targets.items()]).sum()

    def _slope(self, block: Block, read: set[str], targets: Held, batch: int) -> float:
        """The root mean square of the loss's gradient to a share, where learning starts."""
        free, samples = [layer for layer in block.parts() if not layer.fixed], self.count - self.judges
        sums = [torch.zeros_like(layer.latent) for layer in free]
        for _ in range(PROBES):
            rows = torch.randperm(samples, generator=self.grids.generator)[:batch]
            block.zero_grad()
            self._loss(block, read, targets, rows).backward()  # type: ignore[no-untyped-call]
            for total, layer in zip(sums, free, strict=True):
                if layer.latent.grad is not None:
                    total += layer.latent.grad / slope_of_share(layer.latent.detach())
        flat = torch.cat([total.reshape(-1) for total in sums]) if sums else torch.zeros(1)
        return float((flat / PROBES).square().mean().sqrt())

    def _tell(self, place: tuple[int, int], iteration: int) -> None:
        now = time.monotonic()
        if self.ctx.say is not None and now - self.said > TELL_SECONDS:
            self.said, (index, count) = now, place
            done = (index + (iteration + 1) / self.effort.iterations) / count
            left = (now - self.started) * (1 / done - 1)
            self.ctx.say(f"block {index + 1} of {count}, iteration {iteration + 1} of {self.effort.iterations}, {left:.0f} s left")

    def _mixed(self, name: str, rows: Tensor) -> Tensor:
        """What the span is fed with: the quantized network's numbers and, dropped in at random, the float network's."""
        quantized, drop = self.second[name][rows], self.effort.drop
        if not drop:
            return quantized
        return torch.where(torch.rand(quantized.shape, generator=self.grids.generator) < drop, self.first[name][rows], quantized)

    def _keep(self, block: Block) -> bool:
        """Take over what ``block`` learned; False where a bias would not fit into int32."""
        moved: dict[str, Quant] = {}
        for name, group in self.grids.groups.items():
            quant = self.grids.quants[name]
            if group in block.keys and quant is not None:
                factor = float(torch.exp(block.logs[block.keys[group]].detach()))
                moved[name] = dataclasses.replace(quant, scale=(quant.scale[0] * factor,))
        quants = self.grids.quants | moved
        for layer in block.parts():
            data, (_, quant, bias) = quants[layer.part.data], layer.settled()
            if data is None or np.any(np.abs(bias) > np.asarray(bias_quant(quant, data.scale[0]).scale) * BIAS_STEPS):
                return False
        self.grids.quants = quants
        self.learned |= {layer.part.node.name: layer for layer in block.parts()}
        return True

    def result(self) -> Graph:
        """The graph with what was learned."""
        graph, edits = self.graph, Edits(self.graph)
        for node in graph.nodes:
            part, layer = linear(graph, node), self.learned.get(node.name)
            if part is None or (layer is None and self.grids.quants[part.data] == graph.value(part.data).quant):
                continue
            name, quant, bias = part.weight, graph.value(part.weight).quant, np.asarray(bias_array(graph, part), np.float32)
            if layer is not None:
                weight, quant, bias = layer.settled()
                structure = graph.constants[part.weight].structure
                name = edits.constant(edits.replacing(part.weight), weight, quant=quant, structure=structure)
            data = self.grids.quants[part.data]
            assert data is not None
            if quant is None:
                continue
            stem = edits.fresh(f"{node.name}_bias") if part.bias is None else edits.replacing(part.bias)
            sums = edits.constant(stem, bias, quant=bias_quant(quant, data.scale[0]))
            edits.nodes[node.name] = [dataclasses.replace(node, inputs=(part.data, name, sums))]
        done = edits.apply()
        moved = [name for name in self.grids.groups if name in done.values]
        return rebuild(done, values=[dataclasses.replace(done.value(name), quant=self.grids.quants[name]) for name in moved])


def _spread(x: Tensor) -> Tensor:
    """The variance, never 0."""
    return x.var(correction=0).clamp(min=1e-20)


def _seen(graph: Graph, inputs: Sequence[NDArray[np.generic]], names: Container[str]) -> Held:
    """The values ``names`` of ``graph`` for ``inputs``."""
    pieces: dict[str, list[Tensor]] = {}

    def look(value: Value, x: Tensor) -> None:
        if value.name in names:
            pieces.setdefault(value.name, []).append(x.clone())

    evaluate(graph, inputs, observe=look)
    return {name: torch.cat(parts) for name, parts in pieces.items()}


def parted(graph: Graph, data: Data, samples: int) -> tuple[int, int]:
    """How many of ``samples`` are learned from, and how many behind them are held out: as many as memory has room for."""
    count = affordable(graph, min(samples, data.count))
    return count - count // HELD_OUT, count // HELD_OUT


def reconstruct(graph: Graph, start: Graph, spans: Sequence[Span], effort: Effort, ctx: Context, samples: int) -> Graph:
    """``start``, whose floats are those of ``graph``, with ``spans`` learned; itself where that is no better on samples held out."""
    data = ctx.calibration()
    fitted, judges = parted(graph, data, samples)
    count = fitted + judges
    if not judges:
        ctx.skipped(graph.name, f"{count} samples are too few to hold some out: give at least {HELD_OUT}")
        return start
    if count < min(samples, data.count):
        ctx.skipped(graph.name, f"{min(samples, data.count) - count} of the samples are left out: activations would not fit into memory")
    walk = Reconstruction(graph, start, [array[:count] for array in data.inputs], judges, effort, ctx)
    walk.run(spans)
    for name in walk.kept:
        ctx.skipped(name, f"what was learned is no better on {judges} samples held out: it keeps its integers")
    if not walk.learned:
        return start
    result, inputs = walk.result(), [array[count - judges : count] for array in data.inputs]
    errors = [walk.error(_seen(each, inputs, walk.answers), walk.answers) for each in (start, result)]
    if not errors[1] < errors[0]:
        told = f"error {errors[0]:.4g} → {errors[1]:.4g}"
        ctx.skipped(graph.name, f"the network's answers on {judges} samples held out are no better with it, {told}")
        return start
    for name, (before, after) in walk.better.items():
        ctx.did(name, f"rounding learned, error of the output on {judges} samples held out {before:.4g} → {after:.4g} of its variance")
    return result
