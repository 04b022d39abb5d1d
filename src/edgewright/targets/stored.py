"""How the weights of a layer lie in flash: a byte each, or as indices of a few bits into a short table of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Constant, Graph, Node
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.targets.sparse import is_sparse, sparse_bytes
from edgewright.targets.workspace import can_be_frugal, is_plain, is_wide, workspace_bytes

WORD_BITS = 32
WIDTHS = (1, 2, 4)
"""Bits that an index may have."""
WITHOUT = ("helium", "cpu")
"""Folders of kernels that read bytes alone: cores with flash to spare."""


@dataclass(frozen=True)
class Stored:
    """Indices of ``bits`` bits into ``values``, ascending."""

    bits: int
    values: tuple[int, ...]

    @property
    def step(self) -> int:
        """The distance of all neighbours where it is the same, so that values can be computed; else 0."""
        steps = {after - before for before, after in zip(self.values, self.values[1:])} or {1}
        step = steps.pop()
        return step if not steps and step * ((1 << self.bits) - 1) <= 255 else 0

    @property
    def fill(self) -> int:
        """What rows are filled up with: 0, or the least value where 0 is none of them."""
        return 0 if 0 in self.values else self.values[0]

    def words(self, count: int) -> int:
        """Words of 32 bits that ``count`` indices take, the last one filled up."""
        return -(-count * self.bits // WORD_BITS)

    def unpacked_bytes(self, count: int) -> int:
        """Room for ``count`` weights, and for what the last word has beyond them."""
        return self.words(count) * (WORD_BITS // self.bits)


def stored(graph: Graph, node: Node, kernels: Sequence[str]) -> Stored | None:
    """How the weights of ``node`` lie in flash with the kernel folders ``kernels``; None: a byte each.

    Weights whose structure says that they have few bits or a codebook are packed where that takes less flash.
    """
    op = node.op
    if not kernels or any(folder in kernels for folder in WITHOUT) or not isinstance(op, Conv2D | Dense | DepthwiseConv2D):
        return None
    constant = graph.constants.get(node.inputs[1])
    if constant is None or graph.value(node.inputs[1]).dtype is not DType.INT8 or is_wide(graph.ins(node)):
        return None
    if isinstance(op, DepthwiseConv2D) and not is_plain(op, graph.ins(node)) and "size" not in kernels:
        return None
    found = _of(constant)
    return found if found is not None and _packed_bytes(graph, node, found, kernels) < constant.array.size else None


def constant_bytes(graph: Graph, kernels: Sequence[str], sparse_share: float = 0.0) -> int:
    """What the constants of ``graph`` take of the flash."""
    whole = sum(graph.value(name).bytes for name in graph.constants)
    saved = {}
    for node in graph.nodes:
        found = stored(graph, node, kernels)
        if is_sparse(graph, node, kernels, sparse_share):
            array = graph.array(node.inputs[1])
            saved[node.inputs[1]] = array.size - sparse_bytes(array.reshape(len(array), -1))
        elif found is not None:
            saved[node.inputs[1]] = graph.value(node.inputs[1]).bytes - _packed_bytes(graph, node, found, kernels)
    return whole - sum(saved.values())


def _packed_bytes(graph: Graph, node: Node, packing: Stored, kernels: Sequence[str]) -> int:
    """Indices and table."""
    unit, length = packed_rows(graph, node, kernels)
    groups = node.op.groups if isinstance(node.op, Conv2D) else 1
    rows = int(graph.value(node.inputs[1]).shape[0] or 1) // max(1, groups)
    words = groups * (rows // unit * packing.words(unit * length) + rows % unit * packing.words(length))
    return 4 * words + (1 << packing.bits)


def layer_workspace_bytes(graph: Graph, node: Node, kernels: Sequence[str], sparse_share: float = 0.0) -> int:
    """Bytes of working memory for ``node``, room to unpack the rows of weights of a convolution among them."""
    if is_sparse(graph, node, kernels, sparse_share):
        weight = graph.value(node.inputs[1])
        outputs = int(weight.shape[0] or 1)
        vector = isinstance(node.op, Dense) and graph.outs(node)[0].elements == outputs
        return 0 if vector else 4 * (weight.elements // outputs)
    needed = workspace_bytes(node.op, graph.ins(node), graph.outs(node), kernels)
    found = stored(graph, node, kernels)
    if found is None or is_vector(graph, node, kernels):
        return needed
    unit, length = packed_rows(graph, node, kernels)
    return needed + found.unpacked_bytes(unit * length)


def layer_can_be_frugal(graph: Graph, node: Node, kernels: Sequence[str], sparse_share: float = 0.0) -> bool:
    """Whether a kernel without working memory can compute ``node``: it reads a byte a weight."""
    if stored(graph, node, kernels) is not None or is_sparse(graph, node, kernels, sparse_share):
        return False
    return can_be_frugal(node.op, graph.ins(node), graph.outs(node), kernels)


def is_vector(graph: Graph, node: Node, kernels: Sequence[str]) -> bool:
    """Whether the layer is a dense one on one vector with a kernel of its own, which unpacks a few weights at a time on the stack."""
    outputs = int(graph.value(node.inputs[1]).shape[0] or 1)
    return isinstance(node.op, Dense) and graph.outs(node)[0].elements == outputs and "size" not in kernels


def packed_rows(graph: Graph, node: Node, kernels: Sequence[str]) -> tuple[int, int]:
    """Rows of weights that begin with a word together, and the length of each."""
    weight = graph.value(node.inputs[1])
    length = weight.elements // max(1, int(weight.shape[0] or 1))
    if "size" in kernels or is_vector(graph, node, kernels):
        return 1, length
    return (2, -(-length // 4) * 4) if "dsp" in kernels else (4, length)


def _of(constant: Constant) -> Stored | None:
    """The table that the structure of ``constant`` promises; None where it has more than 16 values."""
    structure = constant.structure
    if structure is None:
        return None
    values: list[int] | None = None
    if structure.codebook is not None and structure.codebook.ndim == 1:
        values = np.unique(structure.codebook).astype(int).tolist()
    if structure.bits is not None and (values is None or len(values) > 1 << structure.bits):
        values = list(range(-(1 << structure.bits - 1), 1 << structure.bits - 1))
    bits = None if values is None else next((width for width in WIDTHS if len(values) <= 1 << width), None)
    return None if values is None or bits is None else Stored(bits, tuple(values))
