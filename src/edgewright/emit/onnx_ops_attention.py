"""Emission of what transformers are made of, embeddings, products of two activations, layer normalization: operator → function."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.emit.onnx_writer import Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Axes, Group, Layout
from edgewright.ir.layout_plan import reordered, trailing
from edgewright.ops.matmul import MatMul


def factors(writer: Writer, node: Node) -> tuple[list[str], Layout]:
    """Both factors of a MatMul as ONNX multiplies them, and how the product is held."""
    assert isinstance(node.op, MatMul)
    layouts = [writer.layout(name) for name in node.inputs]
    names = []
    for index, (name, layout) in enumerate(zip(node.inputs, layouts, strict=True)):
        seen = layout.seen
        wanted = (*seen[:-2], seen[-1], seen[-2]) if index and node.op.transposed else seen
        names.append(writer.operand(name, layout, wanted) if writer.graph.is_constant(name) else writer.fetch(name, wanted))
    out = writer.graph.value(node.outputs[0])
    leading = [first or second for first, second in zip(*(layout.seen[:-2] for layout in layouts), strict=True)]
    fresh = Layout.fresh([int(size or 1) for size in out.shape[-2:]], batch=False).seen
    axes: Axes = (*leading, *fresh)
    return names, Layout(axes, axes)


def _matmul(writer: Writer, node: Node) -> Tensor:
    names, layout = factors(writer, node)
    return Tensor(writer.node("MatMul", names), layout)


def last_axis(writer: Writer, node: Node) -> tuple[str, Layout, Group, Group]:
    """Input 0 with its last axis held last; that axis as it is seen and held."""
    layout = writer.layout(node.inputs[0])
    wanted = trailing(layout, layout.rank - 1, compact=False)
    return writer.fetch(node.inputs[0], wanted), Layout(layout.seen, wanted), layout.seen[-1], wanted[-1]


def embedding(writer: Writer, node: Node) -> Tensor:
    """Gather, of the rows of a table."""
    table, indices = node.inputs
    layout = writer.layout(indices)
    known = writer.layout(table)
    rows = writer.operand(table, known, known.seen)
    fresh = Layout.fresh([int(writer.graph.value(table).shape[1] or 1)], batch=False).seen
    axes: Axes = (*layout.seen, *fresh)
    return Tensor(writer.node("Gather", [rows, writer.fetch(indices, layout.seen)], axis=0), Layout(axes, axes))


def _layer_norm(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout, seen, held = last_axis(writer, node)
    parameters = []
    for name in node.inputs[1:]:
        numbers = None if seen == held else reordered(np.asarray(writer.graph.array(name)), seen, held)
        parameters.append(writer.weight(name, (0,), numbers))
    return Tensor(writer.node("LayerNormalization", [x, *parameters], axis=-1, epsilon=op.epsilon), layout)


ATTENTION: dict[str, Emit] = {"Embedding": embedding, "MatMul": _matmul, "LayerNorm": _layer_norm}
