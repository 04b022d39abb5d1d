"""Weights rounded so that the layers' outputs stay, instead of to the nearest integers."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor

from edgewright.analysis.linear import Edits, Linear
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Structure
from edgewright.numerics.scales import bias_quant
from edgewright.ops.levels import LEVELS, narrowest
from edgewright.passes.precision.rounded import METHODS, Method, Reals, Rounded, round_alone, round_layer
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable, moments, walk

GROUPED_BITS = 4
"""Weights of at most so many bits can have factors by group: with wider ones the products leave int8."""


@graph_pass(level="quantized", exact=False, needs_data=True)
def round_weights(
    graph: Graph, ctx: Context, *, samples: int = 512, sweeps: int = 20, ridge: float = 0.1, levels: str = "all", method: str = "descent",
    group: int = 0,
) -> Graph:  # fmt: skip
    """Choose scales and integers of the weights, and the biases, by the least squared error of each layer's output on calibration data.

    Layer by layer, each fed with what the quantized layers before it pass on, and aiming at what the float layer gives: the best real
    weights in closed form (``ridge`` pulls them to the old ones), integers with error feedback (GPTQ, arXiv:2210.17323), ``sweeps`` of
    coordinate descent with the scales refitted (QuantEase, arXiv:2309.01885), and a bias that takes over the mean error (arXiv:1906.04721).
    No labels are used. Zeros of a mask stay zeros; a layer with a codebook keeps its weights, and its bias alone is corrected.

    ``method``: descent, all of that, or gptq: GPTQ as it was published, error feedback alone (columns in the order of their second moment,
    damped by a hundredth of its mean) on the weights and scales as they are, for convolutions as products over their windows too.
    ``group``: in dense layers and 1x1 convolutions with weights of up to four bits, so many neighbouring input channels (32, 64, 128)
    share a whole factor from 1 to 15 beside the channel's scale (VS-Quant, arXiv:2102.04503). Weight times factor is an int8 number, so
    that every int8 kernel computes it; four bits and a factor a group are what ONNX files hold.
    ``levels``: what weights of two bits may be, times one scale a channel: all four integers of their type, binary (-1, 1; XNOR-Net,
    arXiv:1603.05279), ternary (-1, 0, 1; TWN, arXiv:1605.04711, with the best threshold in place of a fixed share of the mean) or
    quaternary (-3, -1, 1, 3). They are the weight's codebook from then on. Without a zero among them, pruned weights take ternary ones.
    """
    if levels != "all" and levels not in LEVELS:
        raise RecipeError(f"round_weights: unknown levels {levels!r}", hint=f"all, {', '.join(LEVELS)}")
    if method not in METHODS:
        raise RecipeError(f"round_weights: unknown method {method!r}", hint=f"one of {', '.join(METHODS)}")
    if samples < 1 or sweeps < 0 or ridge < 0 or group < 0 or group == 1:
        got = f"samples {samples}, sweeps {sweeps}, ridge {ridge}, group {group}"
        raise RecipeError(f"round_weights: {got}", hint="samples from 1, group from 2 (0: none), the others from 0")
    data = ctx.calibration()
    if graph.states:
        ctx.skipped(graph.name, "networks with states are not rounded by their outputs yet: the nearest integers stay")
        return graph
    count = affordable(graph, min(samples, data.count))
    mender = _Mender(graph, ctx, Method(method, sweeps, ridge, group), levels)
    walk(graph, [array[:count] for array in data.inputs], mender.mend)
    if not mender.edits.constants:
        return graph
    if count < min(samples, data.count):
        ctx.skipped(graph.name, f"{min(samples, data.count) - count} of the samples are left out: activations would not fit into memory")
    return mender.edits.apply()


class _Mender:
    """Collects the new constants of every layer as the walk comes by."""

    def __init__(self, graph: Graph, ctx: Context, method: Method, levels: str) -> None:
        self.graph, self.ctx = graph, ctx
        self.method, self.levels = method, levels
        self.edits = Edits(graph)

    def mend(self, part: Linear, floats: Tensor, quantized: Tensor) -> tuple[Reals, Reals] | None:
        quant, data = self.graph.value(part.weight).quant, self.graph.value(part.data).quant
        if quant is None or data is None or quant.axis != 0:
            return None
        levels = self._levels(part, quant)
        seen = moments(self.graph, part, floats, quantized)
        method = dataclasses.replace(self.method, group=self._group(part, quant, levels))
        if seen is not None:
            found = round_layer(
                self.graph, part, seen, method, dtype=quant.dtype, input_scale=data.scale[0], kept=quant,
                levels=None if levels is None else LEVELS[levels],
            )  # fmt: skip
        elif levels is not None:
            found = round_alone(self.graph, part, LEVELS[levels], data.scale[0], self.method.sweeps)
        else:
            self.ctx.skipped(part.node.name, f"{part.node.op.kind} is not a product over a window: the nearest integers stay")
            return None
        return found.weight, self._enter(part, found, data.scale[0], levels, method.group if seen is not None else 0)

    def _group(self, part: Linear, quant: Quant, levels: str | None) -> int:
        """The size of groups in this layer; 0 where it has none, and the report says why."""
        size, shape = self.method.group, self.graph.value(part.weight).sample_shape
        structure = self.graph.constants[part.weight].structure
        if not size or (structure is not None and (structure.codebook is not None or structure.group is not None)):
            return 0
        why = ""
        if not (len(shape) == 2 or (len(shape) == 4 and shape[1:3] == (1, 1))) or getattr(part.node.op, "groups", 1) != 1:
            why = "only dense layers and 1x1 convolutions have scales by group"
        elif quant.dtype.bits > GROUPED_BITS:
            why = f"{quant.dtype.value} weights have no room for factors: ask for at most {GROUPED_BITS} bits"
        elif levels is not None:
            why = f"{levels} weights have one scale a channel"
        elif shape[-1] % size or shape[-1] <= size:
            why = f"{shape[-1]} input channels are not several groups of {size}"
        if why:
            self.ctx.skipped(part.node.name, f"no scales by group: {why}")
        return 0 if why else size

    def _levels(self, part: Linear, quant: Quant) -> str | None:
        """Which levels the weights get; None: all integers of their type, or those of the codebook that they have."""
        structure = self.graph.constants[part.weight].structure or Structure()
        if self.levels == "all" or quant.dtype is not DType.INT2 or structure.codebook is not None:
            return None
        if (structure.mask is not None or structure.pattern is not None) and 0 not in LEVELS[self.levels]:
            self.ctx.skipped(part.node.name, f"its weights are pruned, and 0 is no {self.levels} level: ternary ones instead")
            return "ternary"
        return self.levels

    def _enter(self, part: Linear, found: Rounded, input_scale: float, levels: str | None, group: int) -> Reals:
        """Put the constants into the edits; gives the bias as it will be."""
        quant, structure = found.quant, self.graph.constants[part.weight].structure
        if levels is not None:
            book = np.asarray(quant.scale, np.float32)[:, None] * np.asarray(LEVELS[levels], np.float32)
            structure = dataclasses.replace(structure or Structure(), codebook=book, bits=narrowest(LEVELS[levels]).bits)
        if group:
            structure = dataclasses.replace(structure or Structure(), group=group)
        name = self.edits.constant(self.edits.replacing(part.weight), found.weight, quant=quant, structure=structure)
        shared = bias_quant(quant, input_scale)
        stem = self.edits.fresh(f"{part.node.name}_bias") if part.bias is None else self.edits.replacing(part.bias)
        sums = self.edits.constant(stem, np.asarray(found.bias, np.float32), quant=shared)
        self.edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(part.data, name, sums))]
        kind = quant.dtype.value if levels is None else f"{levels} levels"
        kind = kind if not group else f"four bits times a factor for each {group}, in int8,"
        self.ctx.did(part.node.name, f"{found.weight.size} weights of {kind} rounded by the layer's output")
        return np.asarray(shared.to_real(shared.to_integer(found.bias)))
