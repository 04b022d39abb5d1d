"""Attacks on ONNX files: the networks that are mutated, and mutations that know the format. Run by benchmarks.fuzz."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.emit.onnx import emit_onnx
from edgewright.frontends.tflite import load_tflite

SHAPES = """
<ir_version: 8, opset_import: ["" : 18]>
shapes (float[N, 6, 8, 10] x) => (float[N, 4] y, float[N, 6, 16, 20] z, float[N, 6, 8, 10] w)
<float[12, 6, 3, 3] kernel, float[4, 12] matrix, float[4] bias, float[6, 1, 1] slope, int64[4] sizes = {0, 6, 16, 20}, float zero = {0},
 float six = {6}, int64[1] minus = {-1}, int64 first = {0}, int64[1] start = {0}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1},
 float[4] scales = {1, 1, 2, 2}, float three = {3}, float sixth = {0.16666667}, bool yes = {1}, int64[2] two = {3, 3}, int64[1] one = {1}>
{
  conv = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, kernel)
  rectified = Clip (conv, zero, six)
  pooled = MaxPool <kernel_shape = [2, 2], ceil_mode = 1> (rectified)
  mean = ReduceMean <keepdims = 1> (pooled, axes)
  shape = Shape (mean)
  batch = Gather <axis = 0> (shape, first)
  batch1 = Unsqueeze (batch, start)
  target = Concat <axis = 0> (batch1, minus)
  flat = Reshape (mean, target)
  y = Gemm <transB = 1> (flat, matrix, bias)
  z = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , scales)
  padded = Pad (x, pads, zero)
  cropped = Slice (padded, begin, end, spatial)
  left, right = Split <axis = 1> (cropped, two)
  joined = Concat <axis = 1> (right, left)
  sloped = PRelu (joined, slope)
  shifted = Add (sloped, three)
  gate = Clip (shifted, zero, six)
  product = Mul (sloped, gate)
  swished = Mul (product, sixth)
  turned = Transpose <perm = [0, 2, 3, 1]> (swished)
  soft = Softmax <axis = -1> (turned)
  back = Transpose <perm = [0, 3, 1, 2]> (soft)
  w = If (yes) <then_branch = then () => (float[N, 6, 8, 10] a) { a = Identity (back) },
                else_branch = other () => (float[N, 6, 8, 10] b) { b = Relu (back) }>
}
"""
NUMBERS = (-(1 << 63), -(1 << 31), -2, -1, 0, 1, 2, 3, 7, 64, 255, 65536, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)


def onnx_seeds(models: Path) -> list[bytes]:
    """Networks to mutate: one that is all shape arithmetic and slices, and the MLPerf Tiny ones as float and as QDQ files."""
    found = [_shapes()]
    for path in sorted(models.rglob("*.tflite")):
        found += emit_onnx(load_tflite(path), activations="uint8").values()
    return found


def _shapes() -> bytes:
    model = onnx.parser.parse_model(SHAPES)
    rng = np.random.default_rng(0)
    filled = {"kernel": (12, 6, 3, 3), "matrix": (4, 12), "bias": (4,), "slope": (6, 1, 1)}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in filled]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for name, shape in filled.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    for name, values in (("axes", [2, 3]), ("begin", [1, 1]), ("end", [9, 11]), ("spatial", [2, 3])):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def mutate_onnx(rng: random.Random, data: bytes) -> bytes:
    """One contradiction in the parsed file; ``data`` itself where it can no longer be parsed."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        rng.choice((_bend_tensor, _bend_attribute, _bend_node, _bend_wiring, _bend_input, _bend_structure, _bend_scale))(rng, model)
        return model.SerializeToString()
    except Exception:  # the file was broken before, or a number does not fit its field: there is nothing to attack with
        return data


def _integer(rng: random.Random) -> int:
    return rng.choice(NUMBERS) if rng.random() < 0.5 else rng.randrange(-6, 40)


def _bend_list(rng: random.Random, numbers: Any) -> None:
    kind = rng.randrange(4)
    values = list(numbers)
    if kind == 0 and values:
        values[rng.randrange(len(values))] = _integer(rng)
    elif kind == 1 and values:
        values.pop(rng.randrange(len(values)))
    elif kind == 2:
        values.insert(rng.randrange(len(values) + 1), _integer(rng))
    else:
        rng.shuffle(values)
    del numbers[:]
    numbers.extend(values)


def _bend_tensor(rng: random.Random, model: onnx.ModelProto) -> None:
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(6)
    if kind == 0:
        _bend_list(rng, tensor.dims)
    elif kind == 1:
        tensor.data_type = rng.randrange(26)
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif kind == 3:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "i" and array.size:
            changed = array.copy().reshape(-1)
            changed[rng.randrange(changed.size)] = np.clip(_integer(rng), np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
            tensor.CopyFrom(numpy_helper.from_array(changed.reshape(array.shape), tensor.name))
    elif kind == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(("../../etc/passwd", "/etc/passwd", "", "a\0b", "x" * 9999, "."))
    else:
        tensor.name = rng.choice(("", rng.choice(model.graph.initializer).name, rng.choice(model.graph.node).output[0]))


def _bend_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice([node for node in model.graph.node if node.attribute] or list(model.graph.node))
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    kind = rng.randrange(5)
    if kind == 0:
        node.attribute.remove(attribute)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = _integer(rng)
    elif attribute.type == onnx.AttributeProto.INTS:
        _bend_list(rng, attribute.ints)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e38))
    else:
        attribute.type = rng.randrange(15)


def _bend_node(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(model.graph.node)
    kind = rng.randrange(3)
    if kind == 0:
        node.op_type = rng.choice(
            [*{other.op_type for other in model.graph.node}, "Loop", "Tile", "Expand", "Range", "ConstantOfShape", "", "Einsum"]
        )
    elif kind == 1:
        node.domain = rng.choice(("com.microsoft", "\x00", "ai.onnx"))
    else:
        node.name = rng.choice(("", "x" * 5000, rng.choice(model.graph.node).name))


def _bend_wiring(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(model.graph.node)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)] + [
        tensor.name for tensor in model.graph.initializer
    ]
    field = node.input if rng.random() < 0.75 else node.output
    kind = rng.randrange(3)
    values = list(field)
    if kind == 0 and values:
        values[rng.randrange(len(values))] = rng.choice([*names, "", "nowhere"])
    elif kind == 1 and values:
        values.pop(rng.randrange(len(values)))
    else:
        values.insert(rng.randrange(len(values) + 1), rng.choice([*names, ""]))
    del field[:]
    field.extend(values)


def _bend_input(rng: random.Random, model: onnx.ModelProto) -> None:
    entry = rng.choice([*model.graph.input, *model.graph.output])
    kind = rng.randrange(4)
    if kind == 0 and entry.type.tensor_type.shape.dim:
        rng.choice(entry.type.tensor_type.shape.dim).dim_value = _integer(rng)
    elif kind == 1:
        entry.type.tensor_type.elem_type = rng.randrange(20)
    elif kind == 2:
        entry.type.tensor_type.shape.dim.add().dim_value = _integer(rng)
    else:
        entry.name = rng.choice(("", rng.choice(model.graph.node).output[0], rng.choice(model.graph.initializer).name))


def _bend_structure(rng: random.Random, model: onnx.ModelProto) -> None:
    kind = rng.randrange(5)
    if kind == 0:
        model.graph.node.append(rng.choice(model.graph.node))
    elif kind == 1:
        model.graph.node.remove(rng.choice(model.graph.node))
    elif kind == 2:
        nodes = list(model.graph.node)
        rng.shuffle(nodes)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    elif kind == 3:
        model.opset_import[0].version = _integer(rng)
    else:
        model.graph.initializer.remove(rng.choice(model.graph.initializer))


def _bend_scale(rng: random.Random, model: onnx.ModelProto) -> None:
    """Quantization with impossible numbers."""
    scales = {node.input[1] for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 1}
    found = [tensor for tensor in model.graph.initializer if tensor.name in scales]
    if not found:
        return
    tensor = rng.choice(found)
    array = numpy_helper.to_array(tensor).copy().reshape(-1)
    array[rng.randrange(array.size)] = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-45, 3e38))
    tensor.CopyFrom(numpy_helper.from_array(array if rng.random() < 0.3 else array.reshape(tuple(tensor.dims)), tensor.name))
