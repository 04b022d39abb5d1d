"""Which layers are computed by the kernels that pass over zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Node, Structure
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense

LONGEST_GAP = 255
"""Inputs that one entry can pass over."""
ENTRY_BYTES = 2
OUTPUT_ENTRIES = 8
"""What an output costs beyond its entries, in entries."""
MOST_ENTRIES = (1 << 16) - 1


def is_sparse(graph: Graph, node: Node, kernels: Sequence[str], share: float) -> bool:
    """Whether ``node`` has pruned weights, so few of them left that passing over zeros is quicker; with kernels for size, smaller.

    ``share``: what is quicker for long rows of weights, see Target.
    """
    op = node.op
    if not kernels or "cpu" in kernels or not isinstance(op, Conv2D | Dense) or (isinstance(op, Conv2D) and op.groups != 1):
        return False
    constant = graph.constants.get(node.inputs[1])
    if constant is None or graph.value(node.inputs[1]).dtype is not DType.INT8 or constant.array.size == 0:
        return False
    if graph.value(node.inputs[0]).dtype is DType.INT16:
        return False
    if constant.structure is None or constant.structure.mask is None:
        return False
    rows = constant.array.reshape(len(constant.array), -1)
    if int(entries_of(rows).max()) > MOST_ENTRIES:
        return False
    bits = _least_bits(constant.structure)
    smaller = 8 * sparse_bytes(rows) < bits * constant.array.size
    if "size" in kernels:
        return smaller
    if share > 0 and bits < 8 and smaller:  # To unpack all weights takes longer than to pass over most.
        return True
    return int(np.count_nonzero(rows)) + OUTPUT_ENTRIES * len(rows) <= share * rows.size


def _least_bits(structure: Structure) -> int:
    """Bits that a weight would take in a packed layer."""
    book = None if structure.codebook is None or structure.codebook.ndim > 1 else structure.codebook
    few = 8 if book is None else next((bits for bits in (1, 2, 4) if len(book) <= 1 << bits), 8)
    return min(few, structure.bits or few)


def entries_of(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """Entries of each row: its non-zero weights, and one for each gap of more than LONGEST_GAP zeros."""
    row, place = np.nonzero(rows)
    gaps = np.diff(place, prepend=-1) - 1
    first = np.diff(row, prepend=-1) != 0
    gaps[first] = place[first]
    counts: NDArray[np.int64] = np.bincount(row, weights=1 + gaps // (LONGEST_GAP + 1), minlength=len(rows)).astype(np.int64)
    return counts


def sparse_bytes(rows: NDArray[np.generic]) -> int:
    """Entries, and how many each row has."""
    return ENTRY_BYTES * int(entries_of(rows).sum()) + 2 * len(rows)
