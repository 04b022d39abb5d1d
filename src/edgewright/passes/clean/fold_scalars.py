"""Constants that are added or multiplied channel by channel vanish in the weights beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import Edits, with_activation
from edgewright.ir.graph import Graph, Node
from edgewright.ops.add import Add
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.mul import Mul
from edgewright.ops.sub import Sub
from edgewright.passes.affine import Affine, affine_run, fold_affines
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True)
def fold_scalars(graph: Graph, ctx: Context) -> Graph:
    """Fold Add, Sub and Mul with a constant (one number, or one for each channel) into the layer before them, or else the one behind.

    Input normalization goes into the first layer that way, unless that layer pads: padded zeros would have to be normalized as well. What
    stands in a row and cannot be folded is merged into one Mul and one Add.
    """
    return _merge(fold_affines(graph, ctx, (Add, Sub, Mul)), ctx)


def _merge(graph: Graph, ctx: Context) -> Graph:
    edits = Edits(graph)
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name in seen:
            continue
        run = affine_run(graph, node)
        seen.update(part.node.name for part in run)
        needed = _needed(run) if run else 0
        if needed < len(run) and not any(isinstance(part.node.op, BatchNorm) for part in run):
            _replace(graph, run, edits)
            ctx.did(node.name, f"merged with {', '.join(repr(part.node.name) for part in run[1:])}")
    return edits.apply() if edits.nodes else graph


def _total(run: list[Affine]) -> Affine:
    scale, offset = run[0].scale, run[0].offset
    for part in run[1:]:
        scale, offset = scale * part.scale, offset * part.scale + part.offset
    return Affine(run[-1].node, run[0].data, scale, offset)


def _needed(run: list[Affine]) -> int:
    """Operators that the whole run takes: a Mul, an Add or both; one at least."""
    total = _total(run)
    return max(1, int(bool(np.any(total.scale != 1.0))) + int(bool(np.any(total.offset != 0.0))))


def _replace(graph: Graph, run: list[Affine], edits: Edits) -> None:
    """Enter one Mul, one Add or both instead of ``run``; the last gives the run's output, with its activation."""
    total, last = _total(run), run[-1]
    steps: list[tuple[Mul | Add, NDArray[np.float32]]] = []
    if np.any(total.scale != 1.0) or not np.any(total.offset != 0.0):
        steps.append((Mul(), total.scale.astype(np.float32)))
    if np.any(total.offset != 0.0):
        steps.append((Add(), total.offset.astype(np.float32)))
    name = total.data
    new: list[Node] = []
    for index, (op, numbers) in enumerate(steps):
        source = run[index].node
        constant = edits.constant(edits.fresh(f"{source.name}_{op.kind.lower()}"), numbers)
        final = index == len(steps) - 1
        outputs = last.node.outputs if final else source.outputs
        new.append(Node(source.name, with_activation(op, last.activation) if final else op, (name, constant), outputs))
        name = outputs[0]
    for part in run:
        edits.nodes[part.node.name] = []
    edits.nodes[last.node.name] = new
