"""What the detectors look at: both networks, samples, what activations looked like, and the noise of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.linear import linear
from edgewright.data import Data
from edgewright.diagnosis.pair import INPUT, Pair
from edgewright.evaluation.outputs import Reals, real_outputs
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Node, Value
from edgewright.numerics.scales import weight_scales
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.ops.requant import affine_quant

MOST_SAMPLES = 256
MOST_MACS = 4e11
"""Multiply-accumulates of one diagnosis: fewer samples are taken from large networks."""
MOST_NOISE = 4.0
"""Beyond this share of its signal a sample's output is as wrong as it can be."""
KEPT = 1 << 15
"""Numbers of each activation that are kept, evenly spread over samples and places."""
SHARES = np.geomspace(1.0, 1 / 64, 37)
"""Candidates of a clipped range, as shares of the whole."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One activation of the float network: extremes, some of its numbers (n,), and the extremes of each channel (last axis)."""

    low: float
    high: float
    numbers: NDArray[np.float32]
    channel_low: NDArray[np.float32]
    channel_high: NDArray[np.float32]

    def best_grid(self, dtype: DType = DType.INT8) -> Quant:
        """The grid, of shares of the range, that rounds and clips with the least squared error."""
        tried = [affine_quant(share * self.low, share * self.high, dtype) for share in SHARES]
        return min(tried, key=lambda quant: grid_noise(quant, self.numbers))

    def middle_grid(self, percent: float, dtype: DType = DType.INT8) -> Quant:
        """The grid over the middle ``percent`` of the numbers."""
        tail = (100 - percent) / 200
        low, high = (float(end) for end in np.quantile(self.numbers, (tail, 1 - tail)))
        return affine_quant(min(low, 0.0), max(high, 0.0), dtype)

    def whole_grid(self, dtype: DType = DType.INT8) -> Quant:
        """The grid over everything seen."""
        return affine_quant(self.low, self.high, dtype)

    def channel_grid(self, rank: int, dtype: DType = DType.INT8) -> Quant:
        """A grid for each channel: what no device has, to see what one grid for all costs."""
        grids = [affine_quant(float(a), float(b), dtype) for a, b in zip(self.channel_low, self.channel_high, strict=True)]
        return Quant(dtype, tuple(grid.scale[0] for grid in grids), tuple(grid.zero_point[0] for grid in grids), rank - 1)

    @property
    def channel_sizes(self) -> NDArray[np.float64]:
        """The largest magnitude of each channel, never 0."""
        sizes = np.maximum(np.abs(self.channel_low), np.abs(self.channel_high)).astype(np.float64)
        return np.where(sizes > 0, sizes, max(float(np.median(sizes)), 1e-30))

    @property
    def imbalance(self) -> float:
        """The largest channel against the median of those that are not constant."""
        alive = self.channel_sizes[self.channel_high > self.channel_low]
        return float(alive.max() / max(float(np.median(alive)), 1e-30)) if alive.size else 1.0


def grid_noise(quant: Quant, numbers: NDArray[np.float32]) -> float:
    """Mean squared error of ``numbers`` on a per-tensor grid."""
    return float(np.mean((quant.to_real(quant.to_integer(numbers)) - numbers.astype(np.float64)) ** 2)) if numbers.size else 0.0


def reach(quant: Quant) -> tuple[float, float]:
    """The least and the greatest real of a per-tensor grid."""
    scale, zero_point = quant.scale[0], quant.zero_point[0]
    return scale * (quant.dtype.minimum - zero_point), scale * (quant.dtype.maximum - zero_point)


@dataclass(frozen=True, eq=False)
class Weights:
    """One layer with weights in both networks, rows by output channel: ``real``, ``got`` (O, K), biases (O,).

    ``step``: the grid's step of each row.
    """

    node: Node
    name: str
    bias: str | None
    quant: Quant
    real: NDArray[np.float64]
    got: NDArray[np.float64]
    real_bias: NDArray[np.float64]
    got_bias: NDArray[np.float64]

    @cached_property
    def step(self) -> NDArray[np.float64]:
        return np.broadcast_to(np.asarray(self.quant.scale), (len(self.real),)).astype(np.float64)

    @property
    def shared(self) -> bool:
        """Whether all rows have one scale, however it is written."""
        return self.quant.axis is None or float(np.ptp(self.step)) <= 1e-6 * float(self.step.max())

    @cached_property
    def coarse(self) -> NDArray[np.float64]:
        """The distance of the numbers that each row really uses: the grid's step times the greatest common divisor of its integers."""
        steps = np.rint(np.abs(self.got) / self.step[:, None])
        whole = np.all(steps < 1 << 31, axis=1)
        apart = np.gcd.reduce(np.where(whole[:, None], steps, 1).astype(np.int64), axis=1)
        return np.asarray(self.step * np.maximum(apart, 1), np.float64)

    @property
    def bits(self) -> int:
        """The width that the numbers fit, whatever type and step hold them."""
        most = float(np.max(np.abs(self.got) / self.coarse[:, None], initial=1.0))
        return min(self.quant.dtype.bits, int(np.ceil(np.log2(np.rint(most) + 1))) + 1)

    @cached_property
    def gain(self) -> NDArray[np.float64]:
        """What factor of each row of the float weights comes nearest to the quantized one; NaN where the row is lost in rounding."""
        power = (self.real**2).sum(1)
        lost = np.abs(self.real).max(1, initial=0.0) < 2 * self.step
        return np.asarray(np.where(lost | (power == 0), np.nan, (self.real * self.got).sum(1) / np.where(power == 0, 1.0, power)))

    @cached_property
    def likeness(self) -> NDArray[np.float64]:
        """The cosine between each row before and after; NaN where either is zero."""
        sizes = np.linalg.norm(self.real, axis=1) * np.linalg.norm(self.got, axis=1)
        return np.asarray(np.where(sizes == 0, np.nan, (self.real * self.got).sum(1) / np.where(sizes == 0, 1.0, sizes)))

    def on_grid(self, rows: NDArray[np.float64], quant: Quant | None = None) -> NDArray[np.float32]:
        """``rows`` rounded to the layer's own grid (or ``quant``), flat rows."""
        grid = quant or self.quant
        flat = grid if grid.axis in (None, 0) else None
        real = np.asarray(rows, np.float32)
        return real if flat is None else np.asarray(flat.to_real(flat.to_integer(real)))


@dataclass(frozen=True)
class LayerNoise:
    """Signal to noise in dB of one layer. ``here``: of its own output, all before it quantized too. ``alone``: of the network's output
    with nothing else quantized; ``without``: with all but it. None where there is no noise. ``bits``: of its weights."""

    name: str
    kind: str
    bits: int | None
    here: float | None
    alone: float | None
    without: float | None


@dataclass(frozen=True, eq=False)
class Case:
    """One float network, its quantized form, and samples."""

    pair: Pair
    data: Data

    @cached_property
    def reference(self) -> Reals:
        """The float network's first output."""
        return real_outputs(self.pair.floating, self.data)[0]

    @cached_property
    def noise(self) -> float:
        """:meth:`noise_of` the network with all layers quantized."""
        return self.noise_of(self.pair.graph())

    def noise_of(self, graph: Graph) -> float:
        """Power of the error of the first output of ``graph`` against its signal: of each sample, MOST_NOISE at most, averaged.

        So a few samples with large outputs do not decide for all.
        """
        output = real_outputs(graph, self.data)[0].reshape(len(self.reference), -1).astype(np.float64)
        reference = self.reference.reshape(len(self.reference), -1).astype(np.float64)
        signal = np.maximum((reference**2).sum(1), 1e-30)
        return float(np.mean(np.minimum(((output - reference) ** 2).sum(1) / signal, MOST_NOISE)))

    def decibels(self, noise: float) -> float | None:
        """``noise`` as signal to noise; None where there is none."""
        return None if noise == 0 else float(-10 * np.log10(noise))

    @cached_property
    def seen(self) -> Mapping[str, Seen]:
        """Every activation of the float network that is on a grid in the quantized one."""
        return _observe(self.pair, self.data)

    @cached_property
    def weights(self) -> tuple[Weights, ...]:
        """Every layer with constant weights that both networks have, in order."""
        graph, found = self.pair.floating, []
        for node in graph.nodes:
            part = linear(graph, node)
            if part is None or part.weight not in self.pair.constants or part.weight not in self.pair.quants:
                continue
            real, got = graph.array(part.weight).astype(np.float64), self.pair.constants[part.weight].astype(np.float64)
            zeros = np.zeros(len(real))
            biases = [zeros if part.bias is None else source.reshape(-1).astype(np.float64) for source in self._biases(part.bias)]
            rows = [array.reshape(len(array), -1) for array in (real, got)]
            quant = self.pair.quants[part.weight]
            found.append(Weights(node, part.weight, part.bias, quant, rows[0], rows[1], biases[0], biases[1]))
        return tuple(found)

    def _biases(self, name: str | None) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        if name is None:
            return np.zeros(0), np.zeros(0)
        own = self.pair.floating.array(name)
        return own, self.pair.constants.get(name, own)

    def balanced(self, entry: Weights) -> NDArray[np.float32]:
        """The float weights rounded with a scale a row, as if each channel that they meet had been brought to the same size before."""
        shape = self.pair.constants[entry.name].shape
        seen = self.seen.get(entry.node.inputs[0])
        sizes = np.ones(shape[-1]) if seen is None or len(seen.channel_low) != shape[-1] else seen.channel_sizes
        rows = (entry.real.reshape(shape) * sizes).reshape(len(entry.real), -1)
        grid = Quant.per_axis(weight_scales(rows, None, 1.0, entry.quant.dtype), 0, entry.quant.dtype)
        return np.asarray(entry.on_grid(rows, grid).reshape(shape) / sizes, np.float32)

    def activations(self) -> list[tuple[str, Quant, Seen]]:
        """Values on a per-tensor grid, in order."""
        return [(name, quant, self.seen[name]) for name, quant in self.pair.quants.items() if name in self.seen and quant.axis is None]

    @cached_property
    def layers(self) -> tuple[LayerNoise, ...]:
        """The noise of every layer."""
        here = _noise_here(self.pair, self.data)
        bits = {entry.node.name: entry.bits for entry in self.weights}
        kinds = {node.name: node.op.kind for node in self.pair.floating.nodes}
        names = self.pair.layers
        rows = []
        for name in names:
            alone = self.decibels(self.noise_of(self.pair.graph([name])))
            without = self.decibels(self.noise_of(self.pair.graph([other for other in names if other != name])))
            rows.append(LayerNoise(name, kinds.get(name, "Input"), bits.get(name), here.get(name), alone, without))
        return tuple(rows)


def make_case(pair: Pair, data: Data) -> Case:
    """A case on as many of the first samples as can be afforded."""
    macs = max(1, cost(pair.floating).macs)
    batch = next((pair.floating.value(name).shape[0] or 1 for name in pair.floating.inputs), 1)
    count = int(np.clip(MOST_MACS / (2 * len(pair.layers) * macs), 16, MOST_SAMPLES)) // batch * batch
    return Case(pair, data.take(slice(0, max(batch, count))))


def _observe(pair: Pair, data: Data) -> dict[str, Seen]:
    wanted = {name for name in pair.quants if name not in pair.floating.constants}
    numbers: dict[str, list[NDArray[np.float32]]] = {}
    lows: dict[str, Tensor] = {}
    highs: dict[str, Tensor] = {}

    def observe(value: Value, x: Tensor) -> None:
        if value.name not in wanted or x.numel() == 0:
            return
        flat = x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x.reshape(-1, 1)
        low, high = flat.amin(0), flat.amax(0)
        lows[value.name] = torch.minimum(lows[value.name], low) if value.name in lows else low
        highs[value.name] = torch.maximum(highs[value.name], high) if value.name in highs else high
        share = max(1, round(KEPT * len(x) / max(1, data.count)))
        stride = max(1, x.numel() // share)
        # A stride that divides the channels would see the same ones for ever.
        numbers.setdefault(value.name, []).append(x.reshape(-1)[:: stride | 1].numpy().astype(np.float32))

    evaluate_in_order(pair.floating, data.inputs, observe=observe)
    return {
        name: Seen(float(lows[name].min()), float(highs[name].max()), np.concatenate(parts), lows[name].numpy(), highs[name].numpy())
        for name, parts in numbers.items()
    }


def _noise_here(pair: Pair, data: Data) -> dict[str, float | None]:
    """The signal to noise of each layer's own output with everything quantized, in dB."""
    wanted = [name for name in pair.quants if name not in pair.floating.constants]
    sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in wanted}
    step = max(1, min(data.count, 16))
    for start in range(0, data.count, step):
        part = data.take(slice(start, start + step))
        held: dict[str, Tensor] = {}

        def keep(value: Value, x: Tensor, held: dict[str, Tensor] = held) -> None:
            if value.name in sums:
                held[value.name] = torch.cat([held[value.name], x]) if value.name in held else x

        def compare(value: Value, x: Tensor, held: dict[str, Tensor] = held) -> None:
            if value.name in held:
                mine = held[value.name][: len(x)]
                held[value.name] = held[value.name][len(x) :]
                sums[value.name][0] += float((mine.double() ** 2).sum())
                sums[value.name][1] += float(((x.double() - mine.double()) ** 2).sum())

        evaluate_in_order(pair.floating, part.inputs, observe=keep)
        evaluate_in_order(pair.graph(), part.inputs, observe=compare)
    found: dict[str, float | None] = {}
    for name, (signal, noise) in sums.items():
        maker = pair.floating.producers.get(name)
        found[INPUT if maker is None else maker.name] = None if noise == 0 or signal == 0 else 10 * float(np.log10(signal / noise))
    return found
