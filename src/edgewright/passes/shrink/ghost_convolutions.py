"""Half of a convolution's channels are computed, the others guessed from them by small depthwise filters."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.crossings import readers_behind
from edgewright.analysis.linear import Edits, Linear, bias_array, linear, with_activation
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ops.activation import apply_activation
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable
from edgewright.passes.surgery.chains import nodes_cycles, nodes_macs, not_faster
from edgewright.passes.surgery.ghost import Ghosts, Outputs, ghosts

NOISE_SAMPLES = 16
CHUNK = 32
"""Samples whose outputs are looked at together."""


@dataclass(frozen=True)
class _Choice:
    """What a layer would become. ``saved``: cycles on the target, else multiply-accumulates."""

    name: str
    fit: Ghosts
    saved: float
    told: str


@graph_pass(level="float", exact=False)
def ghost_convolutions(
    graph: Graph, ctx: Context, *, ratio: int = 2, kernel: int = 3, worst: float = 0.5, most: int = 0, samples: int = 256
) -> Graph:
    """Replace convolutions by ghost modules: one of ``ratio`` channels is computed, each other one is a ``kernel`` x ``kernel`` depthwise
    filter on one of those, and they are concatenated (GhostNet, Han et al. 2020, arXiv:1911.11907).

    Which channels are computed, and the filters, are fitted by least squares to the layer's outputs on calibration data (noise without
    data). Where the next layers' weights can follow, channels change places; elsewhere, at residual additions, the first ones are computed,
    which loses more. A layer whose output would lose more than the share ``worst`` of its power stays, as one that would take longer on the
    target. ``most``: so many layers at most, those first that save most there; 0: all. Repair with distill or fine_tune.
    """
    if ratio < 2 or kernel < 1 or kernel % 2 == 0 or not 0 < worst <= 1 or most < 0 or samples < 0:
        message = f"ghost_convolutions: ratio {ratio}, kernel {kernel}, worst {worst}, most {most}, samples {samples}"
        raise RecipeError(message, hint="a ratio from 2, an odd kernel, a share of 1, the others from 0")
    parts = _parts(graph, ctx, ratio)
    seen = _outputs(graph, ctx, parts, kernel, samples)
    choices = [choice for name, part in parts.items() if (choice := _choice(graph, ctx, part, seen[name], ratio, worst)) is not None]
    ranked = sorted(choices, key=lambda choice: (-choice.saved, choice.name))
    for choice in ranked[most:] if most else ():
        ctx.skipped(choice.name, f"it would save {choice.saved:,.0f}, others save more and {most} were asked for")
    taken = {choice.name: choice for choice in (ranked[:most] if most else ranked)}
    for name in parts:
        if name in taken:
            graph = _put(graph, name, taken[name].fit)
            ctx.did(name, taken[name].told)
    return graph


def _parts(graph: Graph, ctx: Context, ratio: int) -> dict[str, Linear]:
    """Convolutions without groups whose output channels divide by ``ratio``."""
    found = {}
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None or not isinstance(node.op, Conv2D) or node.op.groups > 1 or len(graph.array(part.weight)) < 2:
            continue
        outputs = len(graph.array(part.weight))
        if graph.constants[part.weight].structure is not None:
            ctx.skipped(node.name, "its weights have a structure, which would not be kept")
        elif outputs % ratio:
            ctx.skipped(node.name, f"{outputs} channels do not divide by {ratio}")
        else:
            found[node.name] = part
    return found


def _outputs(graph: Graph, ctx: Context, parts: dict[str, Linear], kernel: int, samples: int) -> dict[str, Outputs]:
    """What the layers give on calibration data; on noise where there are none, and in a network with states."""
    found = {name: Outputs(len(graph.array(part.weight)), kernel) for name, part in parts.items()}

    def add(name: str, x: Tensor) -> None:
        part = parts[name]
        arrays = [torch.from_numpy(np.array(graph.array(one), np.float32)) for one in part.node.inputs[1:]]
        for begin in range(0, len(x), CHUNK):
            (before,) = with_activation(part.node.op, "none").evaluate([x[begin : begin + CHUNK].float(), *arrays])
            found[name].add(before, apply_activation(before, part.activation))

    if ctx.data is None or not samples or graph.states:
        draw = torch.Generator().manual_seed(ctx.seed)
        for name, part in parts.items():
            add(name, torch.randn((NOISE_SAMPLES, *graph.value(part.data).sample_shape[1:]), generator=draw))
        return found
    fixed = max((graph.value(name).shape[0] or 1 for name in graph.inputs), default=1)
    count = max(fixed, affordable(graph, min(samples, ctx.data.count)) // fixed * fixed)

    def look(value: Value, x: Tensor) -> None:
        for name, part in parts.items():
            if part.data == value.name:
                add(name, x)

    with torch.inference_mode():
        evaluate(graph, [array[:count] for array in ctx.data.inputs], observe=look, chunk=count)
    return found


def _choice(graph: Graph, ctx: Context, part: Linear, seen: Outputs, ratio: int, worst: float) -> _Choice | None:
    name = part.node.name
    fit = ghosts(seen, ratio, free=_free(graph, part))
    edits = Edits(graph)
    nodes = _module(edits, part, fit)
    macs = part.node.op.macs(graph.ins(part.node), graph.outs(part.node)), nodes_macs(edits, nodes)
    if fit.error > worst:
        ctx.skipped(name, f"{fit.error:.1%} of the output's power would be lost, more than {worst:.1%}")
    elif macs[1] >= macs[0]:
        ctx.skipped(name, f"{macs[1]:,} multiply-accumulates instead of {macs[0]:,}")
    else:
        before, after = nodes_cycles(Edits(graph), ctx, part, [part.node]), nodes_cycles(edits, ctx, part, nodes)
        if (why := not_faster(ctx, before, after)) is None:
            saved = before - after if math.isfinite(before) else float(macs[0] - macs[1])
            told = f"{len(fit.bias)} of {len(fit.order)} channels as ghosts: {macs[0]:,} → {macs[1]:,} macs, "
            return _Choice(name, fit, saved, f"{told}{fit.error:.1%} of the output's power lost")
        ctx.skipped(name, why)
    return None


def _free(graph: Graph, part: Linear) -> bool:
    """Whether the output's channels may change places: all that read them have a column of weights for each."""
    ends = readers_behind(graph, part.node.outputs[0])
    if ends is None:
        return False
    for reader, axis, pairs in ends[0]:
        structure = graph.constants[reader.weight].structure
        if axis == 0 or len(pairs) != graph.array(reader.weight).shape[axis] or (structure is not None and structure.pattern is not None):
            return False
    return True


def _module(edits: Edits, part: Linear, fit: Ghosts) -> list[Node]:
    """The nodes of the ghost module: computed channels, ghosts, both joined under the layer's name."""
    graph, node, op = edits.graph, part.node, part.node.op
    weight, bias = graph.array(part.weight).astype(np.float32), bias_array(graph, part).astype(np.float32)
    chosen, edge = fit.order[: fit.computed], fit.filters.shape[1] // 2
    cheap = DepthwiseConv2D(padding=((edge, edge), (edge, edge)), multiplier=len(fit.bias) // fit.computed, activation=part.activation)
    out = graph.value(node.outputs[0])
    names = []
    for stem, count in (("computed", fit.computed), ("ghosts", len(fit.bias))):
        names.append(edits.fresh(f"{node.outputs[0]}_{stem}"))
        edits.values[names[-1]] = dataclasses.replace(out, name=names[-1], shape=(*out.shape[:-1], count))

    def constant(stem: str, array: np.ndarray) -> str:
        return edits.constant(edits.fresh(f"{part.weight}_{stem}"), np.ascontiguousarray(array, np.float32))

    primary = (part.data, constant("computed", weight[chosen]), constant("computed_bias", bias[chosen]))
    derived = (names[0], constant("ghosts", fit.filters), constant("ghosts_bias", fit.bias))
    nodes = [Node(edits.fresh_node(f"{node.name}_computed"), op, primary, (names[0],)),
             Node(edits.fresh_node(f"{node.name}_ghosts"), cheap, derived, (names[1],)),
             Node(node.name, Concat(out.rank - 1), tuple(names), node.outputs)]
    edits.nodes[node.name] = nodes
    return nodes


def _put(graph: Graph, name: str, fit: Ghosts) -> Graph:
    """``graph`` with layer ``name`` as a ghost module, and its readers' weights in the new order of its channels."""
    node = next(node for node in graph.nodes if node.name == name)
    part = linear(graph, node)
    assert part is not None
    edits = Edits(graph)
    _module(edits, part, fit)
    moved = not np.array_equal(fit.order, np.arange(len(fit.order)))
    ends = readers_behind(graph, node.outputs[0]) if moved else None
    for reader, axis, pairs in ends[0] if ends is not None else ():
        places = np.empty(len(pairs), np.int64)
        places[pairs[:, 0]] = pairs[:, 1]
        take = np.arange(len(pairs))
        take[places] = places[fit.order]
        structure = graph.constants[reader.weight].structure
        if structure is not None and structure.mask is not None:
            structure = dataclasses.replace(structure, mask=np.take(structure.mask, take, axis))
        weight = np.take(graph.array(reader.weight).astype(np.float64), take, axis)
        inputs = (reader.data, edits.weight(reader, weight, structure), *reader.node.inputs[2:])
        edits.nodes[reader.node.name] = [dataclasses.replace(reader.node, inputs=inputs)]
    return edits.apply()
