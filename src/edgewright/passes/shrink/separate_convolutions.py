"""Convolutions become cheaper kinds of convolution, fitted to what they gave."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.analysis.linear import Edits, FloatArray, Linear, linear
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.surgery.chains import Chain, chain_macs, corrected_bias, layer_moments, put_chain, slower
from edgewright.passes.surgery.low_rank import relative_error
from edgewright.passes.surgery.separable import grouped, separated, together

FORMS = ("depthwise", "groups")


@graph_pass(level="float", exact=False)
def separate_convolutions(
    graph: Graph, ctx: Context, *, form: str = "depthwise", groups: int = 2, worst: float = 0.5, rounds: int = 5, samples: int = 256
) -> Graph:
    """Replace convolutions by depthwise-separable ones, or by convolutions with ``groups``, fitted by least squares to their outputs.

    ``form``: "depthwise" (filters for each channel, then 1x1; MobileNets, arXiv:1704.04861), "groups" (arXiv:1611.05431). Each fit is a
    block-wise distillation in closed form: from calibration data where there are any, else from the weights; ``rounds`` of alternating
    least squares. A layer whose output would lose more than the share ``worst`` of its power stays, as one that would take longer on the
    target. The first layer stays where it has one input channel. Repair with distill, loss "layers", or fine_tune.
    """
    if form not in FORMS or groups < 2 or not 0 < worst <= 1 or rounds < 0 or samples < 0:
        message = f"separate_convolutions: form {form!r}, groups {groups}, worst {worst}, rounds {rounds}, samples {samples}"
        raise RecipeError(message, hint=f"a form of {', '.join(FORMS)}, groups from 2, a share of 1, the others from 0")
    parts = _parts(graph, ctx, groups if form == "groups" else 1)
    seen = layer_moments(graph, ctx, parts, samples)
    edits = Edits(graph)
    for name, part in parts.items():
        second, mean = seen.get(name, (None, None))
        chain, whole = _fitted(graph, part, second, form, groups, rounds)
        error = relative_error(graph.array(part.weight).astype(np.float64), whole, second)
        macs = part.node.op.macs(graph.ins(part.node), graph.outs(part.node)), chain_macs(graph, part, chain)
        if error > worst:
            ctx.skipped(name, f"{error:.1%} of the output's power would be lost, more than {worst:.1%}")
        elif macs[1] >= macs[0]:
            ctx.skipped(name, f"{macs[1]:,} multiply-accumulates instead of {macs[0]:,}")
        elif (why := slower(graph, ctx, part, chain)) is not None:
            ctx.skipped(name, why)
        else:
            put_chain(edits, part, chain, corrected_bias(graph, part, whole, mean))
            made = "depthwise-separable" if form == "depthwise" else f"of {groups} groups"
            ctx.did(name, f"{made}: {macs[0]:,} → {macs[1]:,} macs, {error:.1%} of the output's power lost")
    return edits.apply() if edits.nodes else graph


def _fitted(graph: Graph, part: Linear, second: FloatArray | None, form: str, groups: int, rounds: int) -> tuple[Chain, FloatArray]:
    """The layers that stand for ``part``, and the one weight that they come to."""
    op, weight = part.node.op, graph.array(part.weight).astype(np.float64)
    assert isinstance(op, Conv2D)
    if form == "depthwise":
        filters, mixing = separated(weight, second, rounds)
        spread = DepthwiseConv2D(op.stride, op.padding, op.dilation)
        return ((spread, filters), (Conv2D(), mixing)), together(filters, mixing)
    narrow = grouped(weight, second, groups)
    return ((dataclasses.replace(op, groups=groups, activation="none"), narrow),), _spread(narrow, groups)


def _parts(graph: Graph, ctx: Context, groups: int) -> dict[str, Linear]:
    """Convolutions over several input channels and more than one tap, whose channels divide into ``groups``."""
    found = {}
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None or not isinstance(node.op, Conv2D) or node.op.groups > 1:
            continue
        outputs, rows, columns, channels = graph.array(part.weight).shape
        if rows * columns == 1 or channels == 1:
            continue
        if graph.constants[part.weight].structure is not None:
            ctx.skipped(node.name, "its weights have a structure, which would not be kept")
        elif outputs % groups or channels % groups:
            ctx.skipped(node.name, f"{channels} inputs and {outputs} outputs do not divide into {groups} groups")
        else:
            found[node.name] = part
    return found


def _spread(narrow: FloatArray, groups: int) -> FloatArray:
    """Weight (O, kh, kw, I / groups) as that of a convolution without groups, zeros between the groups."""
    outputs, rows, columns, channels = narrow.shape
    whole = np.zeros((outputs, rows, columns, channels * groups))
    for group in range(groups):
        own = slice(group * outputs // groups, (group + 1) * outputs // groups)
        whole[own, :, :, group * channels : (group + 1) * channels] = narrow[own]
    return whole
