"""In which order a kernel reads its input and writes its output: what decides how far the two may share memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ir.operator import Window
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.targets.sparse import is_sparse
from edgewright.targets.stored import layer_can_be_frugal
from edgewright.targets.workspace import depthwise_layout, is_matrix_product, is_plain
from edgewright.targets.workspace_helium import depthwise_tile, is_contiguous

POSITIONS_DSP = 4
POSITIONS_HELIUM = 4
POSITIONS_PORTABLE = 2


@dataclass(frozen=True)
class Order:
    """A kernel goes over its outputs in raster order, ``positions`` of them in a stage, and writes all channels of a stage in it.

    ``window`` slides over ``inner`` (height, width) pixels of input 0 and gives ``outer`` (height, width) outputs. ``reads_first``: in a
    stage, everything is read before anything is written. ``by_channel``: an output channel reads its own input channel alone, and before
    that channel is written; then it is each channel that goes over the stages.
    """

    positions: int
    reads_first: bool
    by_channel: bool
    window: Window
    inner: tuple[int, int]
    outer: tuple[int, int]


def reading_order(graph: Graph, node: Node, kernels: Sequence[str], sparse_share: float = 0.0, *, frugal: bool = False) -> Order | None:
    """The order of the kernel in folders ``kernels`` that computes ``node``; None where nothing is promised: whole tensors apart."""
    op, ins, outs = node.op, graph.ins(node), graph.outs(node)
    if not kernels or not isinstance(op, Conv2D | DepthwiseConv2D | Dense | MaxPool2D | AveragePool2D):
        return None
    if ins[0].dtype is not DType.INT8 or outs[0].dtype is not DType.INT8 or graph.is_constant(node.inputs[0]):
        return None
    if isinstance(op, MaxPool2D | AveragePool2D):
        return _order(1, False, op.window(ins), ins, outs)
    if "cpu" in kernels or is_sparse(graph, node, kernels, sparse_share):
        return None
    if frugal and layer_can_be_frugal(graph, node, kernels, sparse_share):
        return _order(1, False, Window(), ins, outs)
    if isinstance(op, DepthwiseConv2D) and "size" not in kernels and not is_plain(op, ins):
        return _depthwise(op, ins, outs, kernels)
    if isinstance(op, Dense) and outs[0].elements == int(ins[1].shape[0] or 1):
        return None  # Every output reads all of the input.
    window = Window() if isinstance(op, Dense) else op.window(ins)
    return _order(*_products(op, ins, outs, kernels), window, ins, outs)


def _products(
    op: Conv2D | DepthwiseConv2D | Dense, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]
) -> tuple[int, bool]:
    """(positions at a time, whether all they see is copied before an output is written)."""
    groups = 1 if isinstance(op, Dense) else op.groups if isinstance(op, Conv2D) else int(ins[0].shape[3] or 1)
    direct = isinstance(op, Dense) or (isinstance(op, Conv2D) and is_matrix_product(op, ins, outs))
    if "size" in kernels:
        return 1, groups == 1 and not direct
    if "helium" in kernels:
        return POSITIONS_HELIUM, groups == 1 and not isinstance(op, Dense) and not is_contiguous(op, ins)
    if "dsp" in kernels:
        return POSITIONS_DSP, groups == 1
    return POSITIONS_PORTABLE, groups == 1 and not direct


def _depthwise(op: DepthwiseConv2D, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]) -> Order | None:
    """Rows of outputs at a time: where a channel has one filter, each channel for itself, copied before it is written."""
    window, width = op.window(ins), int(outs[0].shape[2] or 1)
    single = ins[0].shape[3] == outs[0].shape[3]
    if "helium" in kernels:
        tile = depthwise_tile(op, ins, outs)
        return _order(tile.rows * width, tile.columns >= width, window, ins, outs, by_channel=True) if single else None
    layout = depthwise_layout(op, ins, outs, kernels)
    rows = int(outs[0].shape[1] or 1)
    if layout.exchanged:
        if layout.strip < width:
            return None
    else:
        rows = layout.strip
    return _order(rows * width, single, window, ins, outs, by_channel=single)


def _order(
    positions: int, reads_first: bool, window: Window | None, ins: Sequence[Value], outs: Sequence[Value], *, by_channel: bool = False
) -> Order | None:
    if window is None:
        return None
    if ins[0].rank == 4 and (ins[0].shape[0] or 1) != 1:
        return None
    return Order(positions, reads_first, by_channel, window, _grid(ins[0]), _grid(outs[0]))


def _grid(value: Value) -> tuple[int, int]:
    """Height and width; what is no picture is a row of vectors."""
    if value.rank == 4:
        return int(value.shape[1] or 1), int(value.shape[2] or 1)
    return 1, value.elements // max(int(value.shape[-1] or 1), 1)
