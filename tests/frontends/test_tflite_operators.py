"""Each .tflite operator that load_tflite knows, and the arithmetic on shapes that it folds, against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor

from edgewright.frontends.tflite import load_tflite
from edgewright.ir.graph import Graph, Level
from edgewright.ops.evaluate import evaluate
from edgewright.run.litert import run_litert
from edgewright.run.tflm import run_tflm
from tests.frontends.tflite_files import File

Case = Callable[[File], tuple[int, list[int]]]
"""Adds operators; returns the input tensor and the outputs."""
CASES: dict[str, Case] = {}
RNG = np.random.default_rng(1)
RESHAPE = schema.ReshapeOptionsT


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def one(
    file: File, kind: str, shape: list[int], out: list[int], *more: int, options: type | None = None, **fields: object
) -> tuple[int, list[int]]:
    x, y = file.tensor(shape), file.tensor(out)
    file.operator(kind, [x, *more], [y], options, **fields)
    return x, [y]


@case
def reshape_to_what_is_left(file: File) -> tuple[int, list[int]]:
    return one(file, "RESHAPE", [1, 4, 6], [1, 3, 8], file.ints([-1, 3, 8]))


@case
def reshape_by_its_options(file: File) -> tuple[int, list[int]]:
    return one(file, "RESHAPE", [1, 4, 6], [1, 24], options=RESHAPE, newShape=[1, 24])


@case
def expand_dims(file: File) -> tuple[int, list[int]]:
    return one(file, "EXPAND_DIMS", [1, 4, 6], [1, 4, 1, 6], file.ints([2]), options=schema.ExpandDimsOptionsT)


@case
def squeeze(file: File) -> tuple[int, list[int]]:
    return one(file, "SQUEEZE", [1, 4, 1, 6], [1, 4, 6], options=schema.SqueezeOptionsT, squeezeDims=[2])


@case
def transpose(file: File) -> tuple[int, list[int]]:
    return one(file, "TRANSPOSE", [1, 4, 3, 6], [1, 6, 4, 3], file.ints([0, 3, 1, 2]), options=schema.TransposeOptionsT)


@case
def concatenation_of_three(file: File) -> tuple[int, list[int]]:
    x, y = file.tensor([1, 4, 6]), file.tensor([1, 4, 18])
    file.operator("CONCATENATION", [x, x, x], [y], schema.ConcatenationOptionsT, axis=-1)
    return x, [y]


@case
def split(file: File) -> tuple[int, list[int]]:
    x, parts = file.tensor([1, 4, 6]), [file.tensor([1, 4, 2]) for _ in range(3)]
    file.operator("SPLIT", [file.ints([2]), x], parts, schema.SplitOptionsT, numSplits=3)
    return x, parts


@case
def split_into_given_sizes(file: File) -> tuple[int, list[int]]:
    x, parts = file.tensor([1, 7, 6]), [file.tensor([1, size, 6]) for size in (1, 4, 2)]
    file.operator("SPLIT_V", [x, file.ints([1, -1, 2]), file.ints([-2])], parts, schema.SplitVOptionsT, numSplits=3)
    return x, parts


@case
def unpack(file: File) -> tuple[int, list[int]]:
    x, parts = file.tensor([1, 3, 6]), [file.tensor([1, 6]) for _ in range(3)]
    file.operator("UNPACK", [x], parts, schema.UnpackOptionsT, axis=1, num=3)
    return x, parts


@case
def pack(file: File) -> tuple[int, list[int]]:
    x, y = file.tensor([1, 6]), file.tensor([1, 2, 6])
    file.operator("PACK", [x, x], [y], schema.PackOptionsT, axis=1, valuesCount=2)
    return x, [y]


@case
def slice_to_the_end(file: File) -> tuple[int, list[int]]:
    return one(file, "SLICE", [1, 5, 6], [1, 3, 6], file.ints([0, 2, 0]), file.ints([1, -1, 6]), options=schema.SliceOptionsT)


def strided(
    file: File, shape: list[int], out: list[int], begin: list[int], end: list[int], stride: list[int], **masks: int
) -> tuple[int, list[int]]:
    return one(
        file, "STRIDED_SLICE", shape, out, file.ints(begin), file.ints(end), file.ints(stride), options=schema.StridedSliceOptionsT, **masks
    )


@case
def strided_slice_with_masks(file: File) -> tuple[int, list[int]]:
    return strided(file, [1, 7, 6], [1, 3, 5], [0, 1, -5], [0, 7, 0], [1, 2, 1], beginMask=1, endMask=0b101)


@case
def strided_slice_that_drops_an_axis(file: File) -> tuple[int, list[int]]:
    return strided(file, [1, 7, 6], [1, 6], [0, -2, 0], [0, 0, 0], [1, 1, 1], beginMask=0b101, endMask=0b101, shrinkAxisMask=0b010)


@case
def strided_slice_with_ellipsis_and_new_axis(file: File) -> tuple[int, list[int]]:
    return strided(file, [1, 7, 6], [1, 7, 1, 4], [0, 0, 1], [0, 0, 5], [1, 1, 1], ellipsisMask=0b001, newAxisMask=0b010)


@case
def pad(file: File) -> tuple[int, list[int]]:
    return one(file, "PAD", [1, 3, 4, 2], [1, 6, 5, 2], file.ints([[0, 0], [1, 2], [0, 1], [0, 0]]), options=schema.PadOptionsT)


@case
def pad_with_a_value(file: File) -> tuple[int, list[int]]:
    paddings = file.ints([[0, 0], [1, 2], [0, 1], [0, 0]])
    return one(file, "PADV2", [1, 3, 4, 2], [1, 6, 5, 2], paddings, file.reals(np.asarray(-1.5, np.float32)), options=schema.PadV2OptionsT)


@case
def mirror_pad(file: File) -> tuple[int, list[int]]:
    return one(
        file,
        "MIRROR_PAD",
        [1, 3, 4, 2],
        [1, 6, 5, 2],
        file.ints([[0, 0], [1, 2], [0, 1], [0, 0]]),
        options=schema.MirrorPadOptionsT,
        mode=0,
    )


@case
def mean_over_height_and_width(file: File) -> tuple[int, list[int]]:
    return one(file, "MEAN", [1, 3, 4, 2], [1, 1, 1, 2], file.ints([-3, 2]), options=schema.ReducerOptionsT, keepDims=True)


@case
def sum_over_channels(file: File) -> tuple[int, list[int]]:
    return one(file, "SUM", [1, 3, 4, 2], [1, 3, 4], file.ints([3]), options=schema.ReducerOptionsT)


@case
def global_maximum(file: File) -> tuple[int, list[int]]:
    return one(file, "REDUCE_MAX", [1, 3, 4, 2], [1, 2], file.ints([1, 2]), options=schema.ReducerOptionsT)


@case
def global_maximum_with_its_axes(file: File) -> tuple[int, list[int]]:
    return one(file, "REDUCE_MAX", [1, 3, 4, 2], [1, 1, 1, 2], file.ints([1, 2]), options=schema.ReducerOptionsT, keepDims=True)


@case
def maximum_over_time(file: File) -> tuple[int, list[int]]:
    return one(file, "REDUCE_MAX", [1, 5, 3], [1, 3], file.ints([1]), options=schema.ReducerOptionsT)


@case
def maximum_over_channels(file: File) -> tuple[int, list[int]]:
    return one(file, "REDUCE_MAX", [1, 3, 4, 2], [1, 3, 4, 1], file.ints([-1]), options=schema.ReducerOptionsT, keepDims=True)


@case
def absolute_value(file: File) -> tuple[int, list[int]]:
    return one(file, "ABS", [1, 40], [1, 40], options=schema.AbsOptionsT)


@case
def maximum_with_a_constant(file: File) -> tuple[int, list[int]]:
    return one(file, "MAXIMUM", [1, 6], [1, 6], file.reals(np.asarray([0.25], np.float32)), options=schema.MaximumMinimumOptionsT)


@case
def maximum_with_zero(file: File) -> tuple[int, list[int]]:
    return one(file, "MAXIMUM", [1, 6], [1, 6], file.reals(np.asarray(0.0, np.float32)), options=schema.MaximumMinimumOptionsT)


@case
def minimum_with_a_constant(file: File) -> tuple[int, list[int]]:
    bounds = file.reals(np.linspace(-1, 1, 6, dtype=np.float32))
    x, y = file.tensor([1, 6]), file.tensor([1, 6])
    file.operator("MINIMUM", [bounds, x], [y], schema.MaximumMinimumOptionsT)
    return x, [y]


@case
def division_by_a_constant(file: File) -> tuple[int, list[int]]:
    return one(
        file, "DIV", [1, 6], [1, 6], file.reals(np.asarray([3.0], np.float32)), options=schema.DivOptionsT, fusedActivationFunction=1
    )


@case
def squared_difference(file: File) -> tuple[int, list[int]]:
    return one(
        file, "SQUARED_DIFFERENCE", [1, 6], [1, 6], file.reals(np.asarray([0.5], np.float32)), options=schema.SquaredDifferenceOptionsT
    )


@case
def square_and_negate(file: File) -> tuple[int, list[int]]:
    x, y, z = file.tensor([1, 6]), file.tensor([1, 6]), file.tensor([1, 6])
    file.operator("SQUARE", [x], [y], schema.SquareOptionsT)
    file.operator("NEG", [y], [z], schema.NegOptionsT)
    return x, [z]


@case
def every_rectifier(file: File) -> tuple[int, list[int]]:
    x, outputs = file.tensor([1, 40]), []
    for kind in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "HARD_SWISH"):
        outputs.append(file.tensor([1, 40]))
        file.operator(kind, [x], [outputs[-1]], schema.HardSwishOptionsT if kind == "HARD_SWISH" else None)
    return x, outputs


@case
def leaky_relu(file: File) -> tuple[int, list[int]]:
    return one(file, "LEAKY_RELU", [1, 9], [1, 9], options=schema.LeakyReluOptionsT, alpha=0.2)


@case
def prelu(file: File) -> tuple[int, list[int]]:
    return one(file, "PRELU", [1, 2, 2, 3], [1, 2, 2, 3], file.reals(np.asarray([[[0.1, 0.2, -0.3]]], np.float32)))


@case
def gelu(file: File) -> tuple[int, list[int]]:
    return one(file, "GELU", [1, 9], [1, 9], options=schema.GeluOptionsT, approximate=True)


@case
def log_softmax(file: File) -> tuple[int, list[int]]:
    return one(file, "LOG_SOFTMAX", [1, 9], [1, 9], options=schema.LogSoftmaxOptionsT)


@case
def resize_bilinear(file: File) -> tuple[int, list[int]]:
    return one(
        file, "RESIZE_BILINEAR", [1, 3, 4, 2], [1, 7, 5, 2], file.ints([7, 5]), options=schema.ResizeBilinearOptionsT, halfPixelCenters=True
    )


@case
def resize_nearest(file: File) -> tuple[int, list[int]]:
    options = schema.ResizeNearestNeighborOptionsT
    return one(file, "RESIZE_NEAREST_NEIGHBOR", [1, 3, 4, 2], [1, 7, 5, 2], file.ints([7, 5]), options=options, alignCorners=True)


@case
def transpose_convolution_same(file: File) -> tuple[int, list[int]]:
    weight = file.reals(RNG.normal(0, 1, (3, 4, 3, 2)).astype(np.float32))
    x, y = file.tensor([1, 5, 6, 2]), file.tensor([1, 10, 12, 3])
    file.operator(
        "TRANSPOSE_CONV", [file.ints([1, 10, 12, 3]), weight, x], [y], schema.TransposeConvOptionsT, padding=0, strideH=2, strideW=2
    )
    return x, [y]


@case
def dense_over_all_but_the_batch(file: File) -> tuple[int, list[int]]:
    weight = file.reals(RNG.normal(0, 1, (5, 24)).astype(np.float32))
    return one(file, "FULLY_CONNECTED", [1, 4, 6], [1, 5], weight, -1, options=schema.FullyConnectedOptionsT)


@case
def dense_over_the_last_axis(file: File) -> tuple[int, list[int]]:
    weight, bias = file.reals(RNG.normal(0, 1, (5, 6)).astype(np.float32)), file.reals(RNG.normal(0, 1, 5).astype(np.float32))
    return one(file, "FULLY_CONNECTED", [1, 4, 6], [1, 4, 5], weight, bias, options=schema.FullyConnectedOptionsT, keepNumDims=True)


@case
def grouped_convolution(file: File) -> tuple[int, list[int]]:
    weight, bias = file.reals(RNG.normal(0, 1, (6, 3, 3, 2)).astype(np.float32)), file.reals(RNG.normal(0, 1, 6).astype(np.float32))
    fields = {"padding": 0, "strideH": 2, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 2}
    return one(file, "CONV_2D", [1, 7, 8, 4], [1, 4, 8, 6], weight, bias, options=schema.Conv2DOptionsT, **fields)


@case
def a_shape_computed_at_run_time(file: File) -> tuple[int, list[int]]:
    """What Keras writes for Reshape with an unknown batch: SHAPE, STRIDED_SLICE, PACK."""
    x, y = file.tensor([1, 4, 6], signature=[-1, 4, 6]), file.tensor([1, 8, 3], signature=[-1, 8, 3])
    shape, batch, target = file.tensor([3], "INT32"), file.tensor([], "INT32"), file.tensor([3], "INT32")
    file.operator("SHAPE", [x], [shape], schema.ShapeOptionsT, outType=schema.TensorType.INT32)
    masks = [file.ints([0]), file.ints([1]), file.ints([1])]
    file.operator("STRIDED_SLICE", [shape, *masks], [batch], schema.StridedSliceOptionsT, shrinkAxisMask=1)
    file.operator("PACK", [batch, file.ints(8), file.ints(3)], [target], schema.PackOptionsT, valuesCount=3)
    file.operator("RESHAPE", [x, target], [y])
    return x, [y]


@case
def a_shape_by_arithmetic(file: File) -> tuple[int, list[int]]:
    x, y = file.tensor([1, 4, 6]), file.tensor([1, 24])
    shape, tail, product = file.tensor([3], "INT32"), file.tensor([2], "INT32"), file.tensor([1], "INT32")
    target = file.tensor([2], "INT32")
    file.operator("SHAPE", [x], [shape], schema.ShapeOptionsT, outType=schema.TensorType.INT32)
    file.operator("SLICE", [shape, file.ints([1]), file.ints([-1])], [tail], schema.SliceOptionsT)
    file.operator("REDUCE_PROD", [tail, file.ints([0])], [product], schema.ReducerOptionsT, keepDims=True)
    file.operator("CONCATENATION", [file.ints([-1]), product], [target], schema.ConcatenationOptionsT, axis=0)
    file.operator("RESHAPE", [x, target], [y])
    return x, [y]


def read(name: str) -> tuple[bytes, Graph]:
    file = File()
    x, outputs = CASES[name](file)
    data = file.build([x], outputs)
    return data, load_tflite(data)


@pytest.mark.parametrize("name", CASES)
def test_operator_gives_what_litert_gives(name: str) -> None:
    data, graph = read(name)
    assert graph.level is Level.FLOAT
    assert graph.value(graph.inputs[0]).shape[0] is None, "the batch is symbolic"
    shape = graph.value(graph.inputs[0]).shape[1:]
    inputs = [np.random.default_rng(0).normal(0, 2, (4, *shape)).astype(np.float32)]
    golden = run_litert({"a.tflite": data}, inputs).outputs
    for own, reference in zip(evaluate(graph, inputs), golden, strict=True):
        np.testing.assert_allclose(own, reference.reshape(own.shape), rtol=1e-5, atol=1e-5)


def test_a_network_that_mixes_the_batch_keeps_its_batch_of_one() -> None:
    file = File()
    x, moved, y = file.tensor([1, 4, 6]), file.tensor([4, 1, 6]), file.tensor([4, 6])
    file.operator("TRANSPOSE", [x, file.ints([1, 0, 2])], [moved], schema.TransposeOptionsT)
    file.operator("RESHAPE", [moved, file.ints([4, 6])], [y])
    data = file.build([x], [y])
    graph = load_tflite(data)
    assert graph.value(graph.inputs[0]).shape == (1, 4, 6)
    inputs = [np.random.default_rng(0).normal(0, 1, (1, 4, 6)).astype(np.float32)]
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], run_litert({"a.tflite": data}, inputs).outputs[0])


def test_a_fixed_batch_of_several_stays() -> None:
    file = File()
    x, y = file.tensor([3, 5]), file.tensor([3, 5])
    file.operator("RELU", [x], [y])
    assert load_tflite(file.build([x], [y])).value("t0").shape == (3, 5)


def test_float16_weights_become_plain_floats() -> None:
    file = File()
    numbers = RNG.normal(0, 1, (5, 6)).astype(np.float16)
    half, weight = file.tensor([5, 6], "FLOAT16", data=numbers), file.tensor([5, 6])
    x, y = file.tensor([1, 6]), file.tensor([1, 5])
    file.operator("DEQUANTIZE", [half], [weight], schema.DequantizeOptionsT)
    file.operator("FULLY_CONNECTED", [x, weight, -1], [y], schema.FullyConnectedOptionsT)
    graph = load_tflite(file.build([x], [y]))
    assert graph.level is Level.FLOAT and len(graph.nodes) == 1
    np.testing.assert_array_equal(graph.array(graph.nodes[0].inputs[1]), numbers.astype(np.float32))


def test_weights_behind_a_dequantize_keep_their_grid() -> None:
    file = File()
    numbers = RNG.integers(-127, 128, (5, 6))
    stored = file.tensor([5, 6], "INT8", data=numbers, scale=[0.1, 0.2, 0.3, 0.4, 0.5], axis=0)
    weight, x, y = file.tensor([5, 6]), file.tensor([1, 6]), file.tensor([1, 5])
    file.operator("DEQUANTIZE", [stored], [weight], schema.DequantizeOptionsT)
    file.operator("FULLY_CONNECTED", [x, weight, -1], [y], schema.FullyConnectedOptionsT)
    graph = load_tflite(file.build([x], [y]))
    assert graph.level is Level.QUANTIZED
    value = graph.value(graph.nodes[0].inputs[1])
    assert value.quant is not None and value.quant.axis == 0
    np.testing.assert_array_equal(value.quant.to_integer(graph.array(value.name).astype(np.float32)), numbers)


def int8(file: File, shape: list[int], scale: float = 0.05, zero_point: int = 3, kind: str = "INT8", **more: object) -> int:
    return file.tensor(shape, kind, scale=[scale], zero_point=[zero_point], **more)  # type: ignore[arg-type]


def test_int4_weights_are_unpacked(needs_tflite_micro: None) -> None:
    file = File()
    numbers = RNG.integers(-7, 8, (4, 3, 3, 3)).astype(np.int8)
    flat = numbers.reshape(-1).astype(np.uint8) & 15
    packed = (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
    x, y = int8(file, [1, 5, 5, 3]), int8(file, [1, 3, 3, 4], 0.4, -5)
    weight = file.tensor([4, 3, 3, 3], "INT4", data=packed, scale=[0.1, 0.2, 0.15, 0.12])
    bias = file.tensor([4], "INT32", data=[10, -20, 30, 0], scale=[0.005, 0.01, 0.0075, 0.006])
    fields = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    file.operator("CONV_2D", [x, weight, bias], [y], schema.Conv2DOptionsT, version=7, **fields)
    data = file.build([x], [y])
    graph = load_tflite(data)
    np.testing.assert_array_equal(graph.array(graph.nodes[0].inputs[1]), numbers)
    inputs = [np.random.default_rng(0).integers(-128, 128, (8, 5, 5, 3)).astype(np.int8)]
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], run_tflm({"a.tflite": data}, inputs).outputs[0])


def test_unsigned_edges_become_signed(needs_tflite_micro: None) -> None:
    """uint8 in and out behind QUANTIZE: the graph takes and gives the same reals as int8, every integer 128 less."""
    file = File()
    x, signed, wide, out = (
        int8(file, [1, 6], 0.1, 140, "UINT8"),
        int8(file, [1, 6], 0.1, 12),
        int8(file, [1, 6], 0.2, 0),
        int8(file, [1, 6], 0.2, 128, "UINT8"),
    )
    file.operator("QUANTIZE", [x], [signed], schema.QuantizeOptionsT)
    file.operator("RELU", [signed], [wide])
    file.operator("QUANTIZE", [wide], [out], schema.QuantizeOptionsT)
    data = file.build([x], [out])
    graph = load_tflite(data)
    assert [node.op.kind for node in graph.nodes] == ["Relu"]
    inputs = np.random.default_rng(0).integers(0, 256, (20, 6)).astype(np.uint8)
    golden = run_tflm({"a.tflite": data}, [inputs]).outputs[0]
    own = evaluate(graph, [(inputs.astype(np.int16) - 128).astype(np.int8)])[0]
    np.testing.assert_array_equal(own.astype(np.int16) + 128, golden)


def test_float_edges_of_an_integer_network(needs_tflite_micro: None) -> None:
    file = File()
    x, low, high, y = file.tensor([1, 6]), int8(file, [1, 6]), int8(file, [1, 6], 0.04, -128), file.tensor([1, 6])
    file.operator("QUANTIZE", [x], [low], schema.QuantizeOptionsT)
    file.operator("RELU", [low], [high])
    file.operator("DEQUANTIZE", [high], [y], schema.DequantizeOptionsT, version=2)
    data = file.build([x], [y])
    graph = load_tflite(data)
    assert graph.level is Level.INTEGER
    inputs = [np.random.default_rng(0).normal(0, 3, (20, 6)).astype(np.float32)]
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], run_tflm({"a.tflite": data}, inputs).outputs[0])


def variable(file: File, graph: object = None) -> int:
    handle = file.tensor([], "RESOURCE", graph=graph)
    file.operator("VAR_HANDLE", [], [handle], schema.VarHandleOptionsT, graph=graph, container="", sharedName="memory")
    return handle


def with_memory(initial: NDArray[np.float32] | None) -> bytes:
    """y = old + new, where new = old + x is read back in the same call."""
    file = File()
    first = file.subgraph()
    if initial is not None:
        file.operator("CALL_ONCE", [], [], schema.CallOnceOptionsT, initSubgraphIndex=1)
        start = file.tensor([1, 3], data=initial, graph=first)
        file.operator("ASSIGN_VARIABLE", [variable(file, first), start], [], schema.AssignVariableOptionsT, graph=first)
    x, old, new, again, y = (file.tensor([1, 3]) for _ in range(5))
    handle = variable(file)
    file.operator("READ_VARIABLE", [handle], [old], schema.ReadVariableOptionsT)
    file.operator("ADD", [old, x], [new], schema.AddOptionsT)
    file.operator("ASSIGN_VARIABLE", [handle, new], [], schema.AssignVariableOptionsT)
    file.operator("READ_VARIABLE", [handle], [again], schema.ReadVariableOptionsT)
    file.operator("ADD", [old, again], [y], schema.AddOptionsT)
    return file.build([x], [y])


def test_a_variable_read_after_it_was_assigned_is_the_new_one() -> None:
    data = with_memory(np.asarray([[1, 2, 3]], np.float32))
    graph = load_tflite(data)
    assert len(graph.states) == 1
    inputs = np.random.default_rng(0).normal(0, 1, (5, 3)).astype(np.float32)
    states: dict[str, Tensor] = {}
    own = np.concatenate([evaluate(graph, [inputs[step : step + 1]], states=states)[0] for step in range(5)])
    np.testing.assert_allclose(own, run_litert({"a.tflite": data}, [inputs], reset_state=False).outputs[0], rtol=1e-6)


def test_a_variable_without_first_contents_starts_at_zero() -> None:
    graph = load_tflite(with_memory(None))
    np.testing.assert_array_equal(graph.array(graph.states[0].initial), np.zeros((1, 3), np.float32))
