"""Writers of what transformers are made of: embeddings, products of two activations, and layer normalization."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edgewright.emit.tflite_elementwise import float_only
from edgewright.emit.tflite_versions import simple_version
from edgewright.emit.tflite_writer import Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.matmul import MatMul


def embedding(writer: Writer, node: Node) -> None:
    """Embedding → GATHER."""
    table, indices, out = (writer.value(name) for name in (*node.inputs, node.outputs[0]))
    options = schema.GatherOptionsT()
    options.axis = 0
    writer.operator("GATHER", [table, indices], [out], options, version=simple_version("GATHER", table.type))


def matmul(writer: Writer, node: Node) -> None:
    """MatMul → BATCH_MATMUL."""
    assert isinstance(node.op, MatMul)
    first, second, out = (writer.value(name) for name in (*node.inputs, node.outputs[0]))
    options = schema.BatchMatMulOptionsT()
    options.adjX, options.adjY = False, node.op.transposed
    writer.operator("BATCH_MATMUL", [first, second], [out], options, version=simple_version("BATCH_MATMUL", first.type))


def layer_norm(writer: Writer, node: Node) -> None:
    """LayerNorm → its formula; float networks only."""
    float_only(writer, node)
    op = node.op
    assert isinstance(op, LayerNorm)
    x, out = writer.value(node.inputs[0]), node.outputs[0]
    axes = writer.numbers(f"{out}_axes", [len(x.shape) - 1])
    row = [*x.shape[:-1], 1]

    def mean(of: Tensor, stem: str) -> Tensor:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        result = writer.like(of, f"{out}_{stem}", row)
        writer.operator("MEAN", [of, axes], [result], options, version=simple_version("MEAN", of.type))
        return result

    def step(kind: str, inputs: list[Tensor], result: Tensor, options: object = None) -> Tensor:
        writer.operator(kind, list(inputs), [result], options)
        return result

    average = mean(x, "mean")
    squares = step("SQUARED_DIFFERENCE", [x, average], writer.like(x, f"{out}_squares"), schema.SquaredDifferenceOptionsT())
    variance = mean(squares, "variance")
    epsilon = writer.reals(f"{out}_epsilon", op.epsilon)
    inverse = step("RSQRT", [step("ADD", [variance, epsilon], writer.like(x, f"{out}_safe", row), schema.AddOptionsT())],
                   writer.like(x, f"{out}_inverse", row))
    centred = step("SUB", [x, average], writer.like(x, f"{out}_centred"), schema.SubOptionsT())
    unit = step("MUL", [centred, inverse], writer.like(x, f"{out}_unit"), schema.MulOptionsT())
    scaled = step("MUL", [unit, writer.value(node.inputs[1])], writer.like(x, f"{out}_scaled"), schema.MulOptionsT())
    step("ADD", [scaled, writer.value(node.inputs[2])], writer.value(out), schema.AddOptionsT())
