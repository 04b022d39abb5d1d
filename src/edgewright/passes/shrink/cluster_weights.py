"""Weights that share a few values."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import FloatArray, linear
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.numerics.k_means import k_means
from edgewright.passes.registry import Context, graph_pass

SCOPES = ("layer", "channel")
MOST_CLUSTERS = 256
LEAST_SHARED = 4
"""Weights for each cluster, at least: below that a codebook saves nothing."""


@graph_pass(level="float", exact=False)
def cluster_weights(graph: Graph, ctx: Context, *, clusters: int = 16, scope: str = "layer") -> Graph:
    """Replace the weights of each layer by ``clusters`` values of least squared error; zeros of a mask are one of them, and stay zero.

    ``scope``: one codebook for a layer, or one for each output channel; the C kernels read the indices of the former. fine_tune moves the
    values that weights share. Source: k-means as in Deep Compression (Han et al. 2016, arXiv:1510.00149).
    """
    if not 2 <= clusters <= MOST_CLUSTERS or scope not in SCOPES:
        message = f"cluster_weights: {clusters} clusters, scope {scope!r}"
        raise RecipeError(message, hint=f"2 to {MOST_CLUSTERS} clusters, a scope of {' or '.join(SCOPES)}")
    constants: dict[str, Constant] = {}
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None or part.weight in constants:
            continue
        new = _clustered(graph.constants[part.weight], clusters, scope)
        if isinstance(new, str):
            ctx.skipped(node.name, new)
        else:
            constants[part.weight] = new
            ctx.did(node.name, f"{new.array.size:,} weights share {clusters} values{'' if scope == 'layer' else ' a channel'}")
    return rebuild(graph, constants=constants) if constants else graph


def _clustered(constant: Constant, clusters: int, scope: str) -> Constant | str:
    """The constant with a codebook, or why it has none."""
    old = constant.structure or Structure()
    rows = constant.array.astype(np.float64).reshape(len(constant.array) if scope == "channel" else 1, -1)
    if old.codebook is not None and old.codebook.shape[-1] <= clusters:
        return f"its weights share {old.codebook.shape[-1]} values already"
    if rows.shape[1] < LEAST_SHARED * clusters:
        return f"{rows.shape[1]} weights are too few to share {clusters} values"
    if not np.isfinite(rows).all():
        return "its weights are not all finite"
    free = np.ones(rows.shape, bool) if old.mask is None else old.mask.reshape(rows.shape)
    zero = old.mask is not None or old.pattern is not None
    free = free & (rows != 0) if zero else free
    books, shared = np.zeros((len(rows), clusters)), np.zeros(rows.shape)
    for row, book, out, own in zip(rows, books, shared, free, strict=True):
        if own.any():
            centres = k_means(row[own], clusters - zero)
            book[: clusters - zero] = np.pad(centres, (0, clusters - zero - len(centres)), mode="edge")
            out[own] = centres[_nearest(row[own], centres)]
        book.sort()
    dtype = constant.array.dtype
    codebook = books.astype(dtype) if scope == "channel" else books[0].astype(dtype)
    return Constant(shared.reshape(constant.array.shape).astype(dtype), dataclasses.replace(old, codebook=codebook))


def _nearest(numbers: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, numbers).astype(np.int64)
