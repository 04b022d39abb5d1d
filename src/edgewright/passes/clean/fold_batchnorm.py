"""Batch normalization vanishes in the weights beside it."""

from __future__ import annotations

from edgewright.ir.graph import Graph
from edgewright.ops.batch_norm import BatchNorm
from edgewright.passes.affine import fold_affines
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True)
def fold_batchnorm(graph: Graph, ctx: Context) -> Graph:
    """Fold batch normalization into the convolution or dense layer before it, or else into the one behind it where that pads nothing.

    Source: Jacob et al. 2018 (arXiv:1712.05877), section 3.2.
    """
    return fold_affines(graph, ctx, (BatchNorm,))
