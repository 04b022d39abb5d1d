"""Writers of the .tflite operators that are activation functions."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright.emit.tflite_elementwise import float_only, plain
from edgewright.emit.tflite_layers import activation
from edgewright.emit.tflite_versions import simple_version
from edgewright.emit.tflite_writer import Writer
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Node
from edgewright.ops.elu import ELU
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.softmax import Softmax


def softmax(writer: Writer, node: Node) -> None:
    """Softmax → SOFTMAX."""
    assert isinstance(node.op, Softmax)
    options = schema.SoftmaxOptionsT()
    options.beta = node.op.beta
    plain("SOFTMAX", lambda: options)(writer, node)


def leaky_relu(writer: Writer, node: Node) -> None:
    """LeakyRelu → LEAKY_RELU."""
    assert isinstance(node.op, LeakyRelu)
    options = schema.LeakyReluOptionsT()
    options.alpha = node.op.alpha
    plain("LEAKY_RELU", lambda: options)(writer, node)


def elu(writer: Writer, node: Node) -> None:
    """ELU → ELU, which has no alpha but 1."""
    assert isinstance(node.op, ELU)
    if node.op.alpha != 1.0:
        raise UnsupportedError(f"ELU {node.name!r} has alpha {node.op.alpha}, .tflite's has 1", hint="use alpha 1, or write C or .onnx")
    plain("ELU")(writer, node)


def prelu(writer: Writer, node: Node) -> None:
    """PRelu → PRELU; its alpha gets axes of size 1 for all but the batch and the channels."""
    x = writer.value(node.inputs[0])
    ones = (1,) * (len(x.shape) - 2)
    alpha = writer.constant(node.inputs[1], f"alpha{len(ones)}", lambda array: array.reshape(*ones, -1), 0)
    writer.operator("PRELU", [x, alpha], [writer.value(node.outputs[0])])


def relu6(writer: Writer, node: Node) -> None:
    """Relu6 → RELU6; behind a RELU that changes the scale, because TensorFlow Lite Micro's RELU6 clamps only."""
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    if x.quant != out.quant:
        rescaled = writer.like(out, f"{node.outputs[0]}_rescaled")
        writer.operator("RELU", [x], [rescaled], version=simple_version("RELU", x.type))
        x = rescaled
    writer.operator("RELU6", [x], [out], version=simple_version("RELU6", x.type))


def gelu(writer: Writer, node: Node) -> None:
    """GELU → GELU."""
    assert isinstance(node.op, GELU)
    options = schema.GeluOptionsT()
    options.approximate = node.op.approximate
    plain("GELU", lambda: options)(writer, node)


def silu(writer: Writer, node: Node) -> None:
    """SiLU → LOGISTIC and MUL; float networks only."""
    float_only(writer, node)
    x = writer.value(node.inputs[0])
    gate = writer.like(x, f"{node.outputs[0]}_sigmoid")
    writer.operator("LOGISTIC", [x], [gate])
    writer.operator("MUL", [x, gate], [writer.value(node.outputs[0])], schema.MulOptionsT())


def hard_sigmoid(writer: Writer, node: Node) -> None:
    """HardSigmoid → relu6(6 alpha x + 6 beta) / 6; float networks only."""
    float_only(writer, node)
    op = node.op
    assert isinstance(op, HardSigmoid)
    x = writer.value(node.inputs[0])
    factor = float(np.float32(6 * op.alpha))
    if factor != 1.0:
        scaled = writer.like(x, f"{node.outputs[0]}_scaled")
        writer.operator("MUL", [x, writer.reals(f"{node.outputs[0]}_alpha", factor)], [scaled], schema.MulOptionsT())
        x = scaled
    clamped = writer.like(x, f"{node.outputs[0]}_clamped")
    options = schema.AddOptionsT()
    options.fusedActivationFunction = activation("relu6")
    writer.operator("ADD", [x, writer.reals(f"{node.outputs[0]}_beta", 6 * op.beta)], [clamped], options)
    writer.operator("MUL", [clamped, writer.reals(f"{node.outputs[0]}_sixth", 1 / 6)], [writer.value(node.outputs[0])],
                    schema.MulOptionsT())
