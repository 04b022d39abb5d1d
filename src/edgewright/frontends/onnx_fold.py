"""Constants computed at the door: shape arithmetic and weights that exporters leave as operators on numbers that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT
from edgewright.frontends.onnx_file import OnnxNode

Array = NDArray[np.generic]
Optional = Sequence[Array | None]
Fold = Callable[[OnnxNode, Optional], Array | list[Array]]
MOST_ELEMENTS = 1 << 27
TYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float32,
    11: np.float32,
    16: np.float32,
}
"""onnx.TensorProto.DataType → the numpy type that its numbers are held in."""


def fold(node: OnnxNode, inputs: Optional) -> list[Array]:
    """Outputs of a node whose inputs are all known (None: absent); UnsupportedError where the operator is not one that is computed here."""
    if node.kind not in TABLE:
        raise UnsupportedError("it cannot be computed in advance", hint="fold constants when exporting the model")
    try:
        with np.errstate(all="ignore"):
            result = TABLE[node.kind](node, inputs)
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, KeyError, MemoryError) as error:
        raise ModelError(f"its constant inputs do not fit together: {error}", hint=INCONSISTENT) from error
    return [np.asarray(item) for item in (result if isinstance(result, list) else [result])]


def room(shape: Sequence[int]) -> tuple[int, ...]:
    """``shape`` where a constant of that shape is small enough to be made."""
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes) or math.prod(sizes) > MOST_ELEMENTS:
        raise ModelError(f"it makes a constant of shape {list(sizes)}", hint="networks of this size do not fit an edge device")
    return sizes


def equal_parts(whole: int, count: int) -> list[int]:
    """Sizes of ``count`` pieces of an axis; the last one may be smaller."""
    size = -(-whole // max(1, count))
    return [min(size, whole - start) for start in range(0, whole, max(1, size))]


def _need(inputs: Optional, index: int) -> Array:
    value = inputs[index] if index < len(inputs) else None
    if value is None:
        raise ValueError(f"input {index} is missing")
    return value


def _integers(inputs: Optional, index: int) -> list[int]:
    return [int(item) for item in _need(inputs, index).reshape(-1)]


def _maybe_integers(node: OnnxNode, inputs: Optional, index: int, name: str) -> list[int] | None:
    """Integers given as input ``index``, or as attribute ``name`` in older opsets."""
    if index < len(inputs) and inputs[index] is not None:
        return _integers(inputs, index)
    value = node.attributes.get(name)
    return None if value is None else [int(item) for item in value]


def _constant(node: OnnxNode, inputs: Optional) -> Array:
    for name, dtype in (
        ("value", None),
        ("value_int", np.int64),
        ("value_ints", np.int64),
        ("value_float", np.float32),
        ("value_floats", np.float32),
    ):
        if name in node.attributes:
            return np.asarray(node.attributes[name], dtype)
    raise ValueError("a constant without numbers")


def _constant_of_shape(node: OnnxNode, inputs: Optional) -> Array:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    return np.full(room(_integers(inputs, 0)), value.reshape(-1)[0])


def _cast(node: OnnxNode, inputs: Optional) -> Array:
    return _need(inputs, 0).astype(TYPES[int(node.attributes["to"])])


def _gather(node: OnnxNode, inputs: Optional) -> Array:
    data, indices = _need(inputs, 0), _need(inputs, 1).astype(np.int64)
    axis = int(node.attributes.get("axis", 0))
    room((data.size // max(1, data.shape[axis]), indices.size))
    return data.take(indices, axis=axis)


def _unsqueeze(node: OnnxNode, inputs: Optional) -> Array:
    return np.expand_dims(_need(inputs, 0), tuple(_maybe_integers(node, inputs, 1, "axes") or ()))


def _squeeze(node: OnnxNode, inputs: Optional) -> Array:
    axes = _maybe_integers(node, inputs, 1, "axes")
    return np.squeeze(_need(inputs, 0), None if axes is None else tuple(axes))


def _reshape(node: OnnxNode, inputs: Optional) -> Array:
    data, shape = _need(inputs, 0), _integers(inputs, 1)
    if not node.attributes.get("allowzero", 0):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return data.reshape(shape)


def _slice(node: OnnxNode, inputs: Optional) -> Array:
    data, starts, ends = _need(inputs, 0), _integers(inputs, 1), _integers(inputs, 2)
    axes = _integers(inputs, 3) if len(inputs) > 3 and inputs[3] is not None else list(range(len(starts)))
    steps = _integers(inputs, 4) if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    parts = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(parts)]


def _expand(node: OnnxNode, inputs: Optional) -> Array:
    data = _need(inputs, 0)
    return np.broadcast_to(data, room(np.broadcast_shapes(data.shape, tuple(_integers(inputs, 1)))))


def _range(node: OnnxNode, inputs: Optional) -> Array:
    start, limit, delta = (_need(inputs, index).reshape(-1)[0] for index in range(3))
    room((max(0, math.ceil((float(limit) - float(start)) / float(delta))),))
    return np.arange(start, limit, delta, dtype=start.dtype)


def _tile(node: OnnxNode, inputs: Optional) -> Array:
    data, repeats = _need(inputs, 0), _integers(inputs, 1)
    room([size * repeat for size, repeat in zip(data.shape, repeats, strict=True)])
    return np.tile(data, repeats)


def _concat(node: OnnxNode, inputs: Optional) -> Array:
    return np.concatenate([_need(inputs, index) for index in range(len(inputs))], axis=int(node.attributes["axis"]))


def _split(node: OnnxNode, inputs: Optional) -> list[Array]:
    data, axis = _need(inputs, 0), int(node.attributes.get("axis", 0))
    sizes = _maybe_integers(node, inputs, 1, "split")
    if sizes is None:
        count = int(node.attributes.get("num_outputs", len(node.outputs)))
        sizes = equal_parts(data.shape[axis], count)
    return list(np.split(data, np.cumsum(sizes)[:-1], axis=axis))


def _divide(a: Array, b: Array) -> Any:
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        if not np.all(b):
            raise ZeroDivisionError("division by zero")
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return np.divide(a, b)


def _matmul(node: OnnxNode, inputs: Optional) -> Array:
    a, b = _need(inputs, 0), _need(inputs, 1)
    room((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *a.shape[-2:-1], *b.shape[-1:]))
    return np.asarray(np.matmul(a, b))


def _modulo(node: OnnxNode, inputs: Optional) -> Array:
    a, b = _need(inputs, 0), _need(inputs, 1)
    if not np.all(b):
        raise ZeroDivisionError("division by zero")
    return np.asarray(np.fmod(a, b) if node.attributes.get("fmod", 0) else np.mod(a, b))


def _unary(function: Callable[..., Any]) -> Fold:
    return lambda node, inputs: np.asarray(function(_need(inputs, 0))).astype(_need(inputs, 0).dtype)


def _binary(function: Callable[..., Any]) -> Fold:
    def handler(node: OnnxNode, inputs: Optional) -> Array:
        a, b = _need(inputs, 0), _need(inputs, 1)
        room(np.broadcast_shapes(a.shape, b.shape))
        return np.asarray(function(a, b))

    return handler


def _all_of(function: Callable[..., Any]) -> Fold:
    def handler(node: OnnxNode, inputs: Optional) -> Array:
        result: Any = _need(inputs, 0)
        for index in range(1, len(inputs)):
            result = function(result, _need(inputs, index))
        return np.asarray(result)

    return handler


def _reduce(function: Callable[..., Any]) -> Fold:
    def handler(node: OnnxNode, inputs: Optional) -> Array:
        axes = _maybe_integers(node, inputs, 1, "axes")
        data = _need(inputs, 0)
        if axes is None and node.attributes.get("noop_with_empty_axes", 0):
            return data
        kept = bool(node.attributes.get("keepdims", 1))
        return np.asarray(function(data, axis=None if axes is None else tuple(axes), keepdims=kept)).astype(data.dtype)

    return handler


TABLE: dict[str, Fold] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": lambda node, inputs: _need(inputs, 0),
    "Dropout": lambda node, inputs: _need(inputs, 0),
    "Shape": lambda node, inputs: np.asarray(
        _need(inputs, 0).shape[node.attributes.get("start", 0) : node.attributes.get("end", None)], np.int64
    ),
    "Size": lambda node, inputs: np.asarray(_need(inputs, 0).size, np.int64),
    "Cast": _cast,
    "CastLike": lambda node, inputs: _need(inputs, 0).astype(_need(inputs, 1).dtype),
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Transpose": lambda node, inputs: _need(inputs, 0).transpose(node.attributes.get("perm")),
    "Flatten": lambda node, inputs: _need(inputs, 0).reshape(math.prod(_need(inputs, 0).shape[: node.attributes.get("axis", 1)]), -1),
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Where": lambda node, inputs: np.where(_need(inputs, 0), _need(inputs, 1), _need(inputs, 2)),
    "Mod": _modulo,
    **{
        name: _binary(function)
        for name, function in (
            ("Add", np.add),
            ("Sub", np.subtract),
            ("Mul", np.multiply),
            ("Div", _divide),
            ("Pow", np.power),
            ("Equal", np.equal),
            ("Less", np.less),
            ("Greater", np.greater),
            ("LessOrEqual", np.less_equal),
            ("GreaterOrEqual", np.greater_equal),
            ("And", np.logical_and),
            ("Or", np.logical_or),
        )
    },
    "MatMul": _matmul,
    **{
        name: _unary(function)
        for name, function in (
            ("Neg", np.negative),
            ("Abs", np.abs),
            ("Floor", np.floor),
            ("Ceil", np.ceil),
            ("Round", np.rint),
            ("Sqrt", np.sqrt),
            ("Exp", np.exp),
            ("Log", np.log),
            ("Reciprocal", np.reciprocal),
            ("Not", np.logical_not),
            ("Sign", np.sign),
            ("Tanh", np.tanh),
        )
    },
    **{name: _all_of(function) for name, function in (("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add))},
    **{
        name: _reduce(function)
        for name, function in (
            ("ReduceProd", np.prod),
            ("ReduceSum", np.sum),
            ("ReduceMean", np.mean),
            ("ReduceMax", np.max),
            ("ReduceMin", np.min),
        )
    },
}
