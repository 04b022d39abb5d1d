"""Each ONNX operator with its attributes, drawn at random, against ONNX Runtime: taken right, or refused."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import ToolError, UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.ops.evaluate import evaluate
from edgewright.run.onnxruntime import run_onnxruntime

Drawn = tuple[str, tuple[int, ...], list[NDArray[np.generic] | None], dict[str, Any], int]
"""Operator, shape of the activation, other inputs, attributes, outputs."""
MANY, REFUSABLE = 40, {"Resize", "AveragePool", "MaxPool", "Conv", "ConvTranspose"}


def _spatial(rng: random.Random, least: int = 5) -> tuple[int, ...]:
    return tuple(rng.randrange(least, 12) for _ in range(rng.choice((1, 2, 2))))


def _pads(rng: random.Random, kernel: list[int], attributes: dict[str, Any]) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        attributes["auto_pad"] = rng.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))
    elif kind < 3:
        attributes["pads"] = [rng.randrange(size) for size in kernel * 2]


def _pool(rng: random.Random, op: str) -> Drawn:
    sizes = _spatial(rng)
    kernel = [rng.randrange(1, 4) for _ in sizes]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [rng.randrange(1, 5) for _ in sizes], "ceil_mode": rng.randrange(2)}
    _pads(rng, kernel, attributes)
    if op == "AveragePool":
        attributes["count_include_pad"] = rng.randrange(2)
    if "auto_pad" in attributes:
        attributes["ceil_mode"] = 0
    return op, (2, 3, *sizes), [], attributes, 1


def _conv(rng: random.Random) -> Drawn:
    sizes, groups = _spatial(rng, 7), rng.choice((1, 1, 2, 4))
    kernel = [rng.randrange(1, 4) for _ in sizes]
    attributes: dict[str, Any] = {
        "strides": [rng.randrange(1, 3) for _ in sizes],
        "dilations": [rng.randrange(1, 3) for _ in sizes],
        "group": groups,
    }
    _pads(rng, kernel, attributes)
    outputs = groups * rng.choice((1, 2))
    bias = [_real(rng, (outputs,))] if rng.random() < 0.5 else []
    return "Conv", (2, 4, *sizes), [_real(rng, (outputs, 4 // groups, *kernel)), *bias], attributes, 1


def _conv_transpose(rng: random.Random) -> Drawn:
    sizes = _spatial(rng, 4)
    kernel, strides = [rng.randrange(2, 4) for _ in sizes], [rng.randrange(1, 3) for _ in sizes]
    attributes: dict[str, Any] = {"strides": strides}
    kind = rng.randrange(4)
    if kind == 0:
        attributes["pads"] = [rng.randrange(2) for _ in kernel * 2]
        attributes["output_padding"] = [rng.randrange(stride) for stride in strides]
    elif kind == 1:
        attributes["auto_pad"] = rng.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))
    elif kind == 2:
        attributes["output_shape"] = [
            (size - 1) * stride + width - rng.randrange(2) for size, stride, width in zip(sizes, strides, kernel, strict=True)
        ]
    return "ConvTranspose", (2, 3, *sizes), [_real(rng, (3, 4, *kernel)), _real(rng, (4,))], attributes, 1


def _resize(rng: random.Random) -> Drawn:
    sizes = tuple(rng.randrange(3, 9) for _ in range(2))
    rule = rng.choice(("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"))
    attributes: dict[str, Any] = {"mode": rng.choice(("nearest", "linear")), "coordinate_transformation_mode": rule}
    if attributes["mode"] == "nearest":
        attributes["nearest_mode"] = rng.choice(("floor", "round_prefer_floor", "round_prefer_ceil", "ceil"))
    if rng.random() < 0.5:
        goal = np.asarray([size * rng.choice((1, 2, 3)) if rng.random() < 0.7 else rng.randrange(2, 14) for size in sizes], np.int64)
        return "Resize", (2, 3, *sizes), [None, None, np.concatenate([np.asarray([2, 3]), goal])], attributes, 1
    scales = np.asarray([1, 1, *(rng.choice((0.5, 1, 2, 3, 1.5)) for _ in sizes)], np.float32)
    return "Resize", (2, 3, *sizes), [None, scales], attributes, 1


def _pad(rng: random.Random) -> Drawn:
    shape = (2, 3, *_spatial(rng))
    mode = rng.choice(("constant", "reflect"))
    if rng.random() < 0.5:
        axes = rng.sample(range(2, len(shape)), rng.randrange(1, len(shape) - 1))
        chosen = [axis - len(shape) * rng.randrange(2) for axis in axes]
        amounts = [rng.randrange(-1 if mode == "constant" else 0, 3) for _ in axes * 2]
        return "Pad", shape, [np.asarray(amounts), np.float32(0.5), np.asarray(chosen)], {"mode": mode}, 1
    amounts = [0, rng.randrange(2), *(rng.randrange(3) for _ in shape[2:])] * 2
    amounts[len(shape)] = 0
    return "Pad", shape, [np.asarray(amounts)], {"mode": mode}, 1


def _slice(rng: random.Random) -> Drawn:
    shape = (2, 5, 6, 7)
    axes = rng.sample((1, 2, 3), rng.randrange(1, 4))
    starts = [rng.randrange(-shape[axis], shape[axis] - 1) for axis in axes]
    ends = [
        rng.choice((shape[axis], 1 << 40, -1)) if start not in (-1, shape[axis] - 1) else 1 << 40
        for axis, start in zip(axes, starts, strict=True)
    ]
    return "Slice", shape, [np.asarray(starts), np.asarray(ends), np.asarray(axes), np.asarray([rng.choice((1, 2)) for _ in axes])], {}, 1


def _split(rng: random.Random) -> Drawn:
    axis = rng.choice((1, 2, -1))
    size = (2, 6, 4, 5)[axis]
    if rng.random() < 0.5:
        return "Split", (2, 6, 4, 5), [], {"axis": axis, "num_outputs": 3 if size > 4 else 2}, 3 if size > 4 else 2
    return "Split", (2, 6, 4, 5), [np.asarray([1, size - 1])], {"axis": axis}, 2


def _reduce(rng: random.Random, op: str) -> Drawn:
    axes = rng.choice(([1], [-1], [1, 3], [2, 3], [2, -1], [3, 2, 1]))
    return op, (2, 3, 4, 5), [np.asarray(axes)], {"keepdims": rng.randrange(2)}, 1


def _gemm(rng: random.Random) -> Drawn:
    turned = rng.randrange(2)
    bias = [_real(rng, rng.choice(((3,), (1, 3), (1,), ())))] if rng.random() < 0.8 else []
    attributes = {"transB": turned, "alpha": rng.choice((1.0, 0.5)), "beta": rng.choice((1.0, 2.0))}
    return "Gemm", (2, 5), [_real(rng, (3, 5) if turned else (5, 3)), *bias], attributes, 1


def _axis_of(rng: random.Random, op: str) -> Drawn:
    return op, (2, 3, 4, 5), [], {"axis": rng.choice((1, 2, 3, -1, -2))}, 1


def _arithmetic(rng: random.Random, op: str) -> Drawn:
    other = _real(rng, rng.choice(((), (1,), (5,), (4, 1), (3, 1, 1), (1, 3, 4, 5), (1, 1, 4, 1))))
    return op, (2, 3, 4, 5), [np.asarray(np.sign(other) + other, np.float32)], {}, 1


def _real(rng: random.Random, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(rng.randrange(1 << 30)).normal(size=shape).astype(np.float32)


def _unary(rng: random.Random, op: str) -> Drawn:
    attributes = {
        "LeakyRelu": {"alpha": 0.3},
        "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
        "Elu": {"alpha": 0.7},
        "Gelu": {"approximate": rng.choice(("none", "tanh"))},
    }.get(op, {})
    return op, rng.choice(((2, 5), (2, 3, 4), (2, 3, 4, 5))), [], dict(attributes), 1


DRAWS: dict[str, Callable[[random.Random], Drawn]] = {
    **{op: lambda rng, op=op: _pool(rng, op) for op in ("MaxPool", "AveragePool")},
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Resize": _resize,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Gemm": _gemm,
    **{op: lambda rng, op=op: _reduce(rng, op) for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")},
    **{op: lambda rng, op=op: _axis_of(rng, op) for op in ("Softmax", "LogSoftmax")},
    **{op: lambda rng, op=op: _arithmetic(rng, op) for op in ("Add", "Sub", "Mul", "Div")},
    **{
        op: lambda rng, op=op: _unary(rng, op)
        for op in ("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Gelu", "Neg", "Identity")
    },
    **{op: lambda rng, op=op: _unary(rng, op) for op in ("Abs", "Elu", "Selu", "Mish", "Softplus")},
    "Flatten": lambda rng: ("Flatten", (2, 3, 4, 5), [], {"axis": rng.choice((1, -3))}, 1),
    "Transpose": lambda rng: ("Transpose", (2, 3, 4, 5), [], {"perm": [0, *rng.sample((1, 2, 3), 3)]}, 1),
    "Squeeze": lambda rng: ("Squeeze", (2, 1, 4, 1), [np.asarray(rng.choice(([1], [-1], [1, 3])))], {}, 1),
    "Unsqueeze": lambda rng: ("Unsqueeze", (2, 3, 4), [np.asarray(rng.choice(([1], [-1], [1, 3], [2, -1])))], {}, 1),
    "Reshape": lambda rng: ("Reshape", (2, 3, 4, 5), [np.asarray(rng.choice(([0, -1], [0, 12, 5], [-1, 3, 20], [0, 5, 4, 3])))], {}, 1),
    "Gather": lambda rng: (
        "Gather",
        (2, 6, 4, 5),
        [np.asarray(rng.choice((2, -1, [1, 2], [0, 2, 4], [-2, -1])))],
        {"axis": rng.choice((1, -3))},
        1,
    ),
    "Expand": lambda rng: ("Expand", (2, 3, 4, 5), [np.asarray(rng.choice(([1], [3, 4, 5], [1, 1, 4, 1])))], {}, 1),
    "DepthToSpace": lambda rng: ("DepthToSpace", (2, 8, 3, 5), [], {"blocksize": 2, "mode": rng.choice(("DCR", "CRD"))}, 1),
    "PRelu": lambda rng: ("PRelu", (2, 3, 4, 5), [_real(rng, rng.choice(((1,), (3, 1, 1), (1, 3, 1, 1), (5,), (4, 1))))], {}, 1),
    "Clip": lambda rng: (
        "Clip",
        (2, 3, 4),
        rng.choice(([np.float32(-0.5)], [None, np.float32(0.7)], [np.float32(-0.2), np.float32(0.9)])),
        {},
        1,
    ),
    "BatchNormalization": lambda rng: (
        "BatchNormalization",
        rng.choice(((2, 3), (2, 3, 5), (2, 3, 4, 5))),
        [_real(rng, (3,)), _real(rng, (3,)), _real(rng, (3,)), np.abs(_real(rng, (3,)))],
        {"epsilon": 0.01},
        1,
    ),
    "InstanceNormalization": lambda rng: (
        "InstanceNormalization",
        rng.choice(((2, 3, 5), (2, 3, 4, 5))),
        [_real(rng, (3,)), _real(rng, (3,))],
        {"epsilon": 0.01},
        1,
    ),
    "GroupNormalization": lambda rng: (
        "GroupNormalization",
        rng.choice(((2, 6, 5), (2, 6, 4, 5))),
        [_real(rng, (6,)), _real(rng, (6,))],
        {"num_groups": rng.choice((1, 2, 6))},
        1,
    ),
    "Pow": lambda rng: ("Pow", (2, 3, 4), [np.float32(rng.choice((1, 2, 3)))], {}, 1),
    "Max": lambda rng: ("Max", (2, 3, 4), [np.float32(0.3)], {}, 1),
    "Min": lambda rng: ("Min", (2, 3, 4), [np.float32(0.3)], {}, 1),
    "GlobalAveragePool": lambda rng: ("GlobalAveragePool", rng.choice(((2, 3, 5), (2, 3, 4, 5))), [], {}, 1),
    "GlobalMaxPool": lambda rng: ("GlobalMaxPool", rng.choice(((2, 3, 5), (2, 3, 4, 5))), [], {}, 1),
}


def as_held(array: NDArray[np.generic], shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """``array`` with its axes in the order of ``shape``; the first one that fits, channels-last before others."""
    orders = itertools.permutations(range(1, array.ndim))
    orders = sorted(orders, key=lambda order: order != (*range(2, array.ndim), 1))  # type: ignore[assignment]
    order = next(order for order in orders if tuple(array.shape[axis] for axis in order) == shape[1:])
    return np.ascontiguousarray(array.transpose(0, *order), np.float32)


def model_of(drawn: Drawn) -> onnx.ModelProto:
    op, shape, others, attributes, count = drawn
    names = ["" if other is None else f"in{index}" for index, other in enumerate(others)]
    numbers = [numpy_helper.from_array(np.asarray(other), name) for other, name in zip(others, names, strict=True) if other is not None]
    outputs = [f"y{index}" for index in range(count)]
    node = helper.make_node(op, ["x", *names], outputs, **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape[1:]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        numbers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("op", DRAWS)
def test_operators_compute_what_onnx_runtime_computes(op: str) -> None:
    rng = random.Random(op)
    taken = 0
    for _ in range(MANY if op in REFUSABLE else 8):
        drawn = DRAWS[op](rng)
        model = model_of(drawn)
        x = _real(rng, drawn[1])
        try:
            expected = run_onnxruntime({"one.onnx": model.SerializeToString()}, [x], optimization="none").outputs
        except ToolError:
            continue
        try:
            graph = load_onnx(model)
        except UnsupportedError:
            assert op in REFUSABLE, f"{drawn[1:]} was refused"
            continue
        taken += 1
        found = evaluate(graph, [as_held(x, graph.value("x").shape)])
        for ours, theirs, name in zip(found, expected, graph.outputs, strict=True):
            held = as_held(theirs, graph.value(name).shape)
            np.testing.assert_allclose(ours, held, rtol=1e-4, atol=1e-5, err_msg=f"{drawn[0]} {drawn[1]} {drawn[3]} {drawn[2]}")
    assert taken >= (10 if op in REFUSABLE else 6)
