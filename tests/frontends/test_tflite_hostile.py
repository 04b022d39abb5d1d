"""Damaged and malicious .tflite files: one clear error each, soon, and in little memory; and what is well formed but not known is listed
whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from benchmarks.fuzz import FORMATS, fuzz
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import EdgewrightError, ModelError, UnsupportedError
from edgewright.frontends.tflite import load_tflite
from tests.frontends.test_tflite_operators import CASES, int8
from tests.frontends.tflite_files import File
from tests.zoo import INTEGER_ZOO, ZOO, quantize_zoo

CONV = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}


def refuse(data: bytes, kind: type[EdgewrightError] = ModelError) -> str:
    """The message with which ``data`` is refused, within a second of the processor, or two."""
    start = time.process_time()
    with pytest.raises(kind) as found:
        load_tflite(data)
    assert found.value.hint
    assert time.process_time() - start < 2.0
    return found.value.message


def network() -> File:
    """An int8 convolution and a softmax; tensor 0 is the input, 1 the weight, 2 the bias, 3 and 4 the results."""
    file = File()
    x = int8(file, [1, 5, 5, 2])
    weight = file.tensor([4, 3, 3, 2], "INT8", data=np.arange(72) - 36, scale=[0.1, 0.2, 0.3, 0.4])
    bias = file.tensor([4], "INT32", data=[1, 2, 3, 4], scale=[0.005, 0.01, 0.015, 0.02])
    y, z = int8(file, [1, 3, 3, 4], 0.5), int8(file, [1, 3, 3, 4], 1 / 256, -128)
    file.operator("CONV_2D", [x, weight, bias], [y], schema.Conv2DOptionsT, **CONV)
    file.operator("SOFTMAX", [y], [z], schema.SoftmaxOptionsT, beta=1.0)
    return file


def test_the_network_of_these_tests_is_fine() -> None:
    assert len(load_tflite(network().build([0], [4])).nodes) == 2


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(100), b"PK\x03\x04 something", b"\x1c\0\0\0TFL2" + bytes(100)])
def test_other_files_are_told_apart(data: bytes) -> None:
    assert "this is no .tflite file" in refuse(data)


def test_every_truncation_is_refused() -> None:
    data = network().build([0], [4])
    for length in range(8, len(data) - 1, 7):
        try:
            load_tflite(data[:length])
        except ModelError as error:
            assert error.hint
        else:
            pytest.fail(f"{length} of {len(data)} bytes were taken")


Bend = Callable[[File], None]


def bent(change: Bend) -> str:
    file = network()
    change(file)
    return refuse(file.build([0], [4]))


def test_shapes_that_cannot_be() -> None:
    assert "sizes must not be negative" in bent(lambda file: setattr(file.graph.tensors[3], "shape", np.asarray([1, -3, 3, 4], np.int32)))
    assert "more than" in bent(lambda file: setattr(file.graph.tensors[3], "shape", np.asarray([1 << 20] * 4, np.int32)))
    assert "9 axes" in bent(lambda file: setattr(file.graph.tensors[3], "shape", np.ones(9, np.int32)))
    assert "declared is [1, 3, 3, 5]" in bent(lambda file: setattr(file.graph.tensors[3], "shape", np.asarray([1, 3, 3, 5], np.int32)))


def test_buffers_that_do_not_fit() -> None:
    def shorten(file: File) -> None:
        file.model.buffers[1].data = file.model.buffers[1].data[:71]

    assert "has 71 bytes" in bent(shorten)
    assert "names buffer 99" in bent(lambda file: setattr(file.graph.tensors[1], "buffer", 99))

    def elsewhere(file: File) -> None:
        file.model.buffers[1].data, file.model.buffers[1].offset, file.model.buffers[1].size = None, 1 << 20, 72

    assert "the file ends at" in bent(elsewhere)


def test_indices_that_point_nowhere() -> None:
    assert "names tensor 77" in bent(lambda file: setattr(file.graph.operators[0], "inputs", [0, 77, 2]))
    assert "names tensor -2" in bent(lambda file: setattr(file.graph.operators[0], "inputs", [0, -2, 2]))
    assert "has code 50" in bent(lambda file: setattr(file.graph.operators[0], "opcodeIndex", 50))
    assert "lacks its input 1" in bent(lambda file: setattr(file.graph.operators[0], "inputs", [0]))
    assert "lacks its output 0" in bent(lambda file: setattr(file.graph.operators[0], "outputs", []))
    assert "names an absent tensor" in refuse(network().build([-1], [4]))
    assert "has no outputs" in refuse(network().build([0], []))
    assert "lists one tensor twice" in refuse(network().build([0, 0], [4]))


def test_operators_out_of_order_and_in_circles() -> None:
    assert "before anything computes it" in bent(lambda file: file.graph.operators.reverse())
    assert "which has a value already" in bent(lambda file: setattr(file.graph.operators[1], "outputs", [3]))
    assert "before anything computes it" in bent(lambda file: setattr(file.graph.operators[0], "inputs", [4, 1, 2]))
    assert "never computed" in bent(lambda file: file.graph.operators.pop())


def test_quantization_that_contradicts_itself() -> None:
    def quantization(file: File, **fields: object) -> None:
        for name, value in fields.items():
            setattr(file.graph.tensors[1].quantization, name, value)

    assert "along axis 7" in bent(lambda file: quantization(file, quantizedDimension=7))
    assert "along axis -1" in bent(lambda file: quantization(file, quantizedDimension=-1))
    assert "2 scales" in bent(lambda file: quantization(file, scale=[0.1, 0.2], zeroPoint=[0, 0]))
    assert "4 scales and 3 zero points" in bent(lambda file: quantization(file, zeroPoint=[0, 0, 0]))
    assert "finite and positive" in bent(lambda file: quantization(file, scale=[0.1, 0.2, float("nan"), 0.4]))
    assert "outside of int8" in bent(lambda file: quantization(file, zeroPoint=[0, 0, 0, 300]))
    assert "has no scale" in bent(lambda file: setattr(file.graph.tensors[3], "quantization", None))


def test_options_of_another_operator() -> None:
    def change(file: File) -> None:
        file.graph.operators[0].builtinOptions = schema.SoftmaxOptionsT()
        file.graph.operators[0].builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions

    assert "carries SoftmaxOptionsT, expected Conv2DOptionsT" in bent(change)
    assert "stride (0, 1)" in bent(lambda file: setattr(file.graph.operators[0].builtinOptions, "strideH", 0))
    assert "padding scheme 9" in bent(lambda file: setattr(file.graph.operators[0].builtinOptions, "padding", 9))


def test_an_initializer_that_calls_itself() -> None:
    file = network()
    file.operator("CALL_ONCE", [], [], schema.CallOnceOptionsT, initSubgraphIndex=0)
    assert "names subgraph 0" in refuse(file.build([0], [4]))


def shared_tables(subgraphs: int, tensors: int) -> bytes:
    """A file of a few hundred kilobytes whose vectors point at one subgraph and one tensor over and over."""
    builder = flatbuffers.Builder(1 << 20)
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)
    builder.StartVector(4, tensors, 4)
    for _ in range(tensors):
        builder.PrependUOffsetTRelative(tensor)
    vector = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, vector)
    subgraph = schema.SubGraphEnd(builder)
    builder.StartVector(4, subgraphs, 4)
    for _ in range(subgraphs):
        builder.PrependUOffsetTRelative(subgraph)
    vector = builder.EndVector()
    schema.BufferStart(builder)
    buffer = schema.BufferEnd(builder)
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, vector)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_tables_that_multiply() -> None:
    assert "more than it can hold" in refuse(shared_tables(50_000, 50_000))


def test_one_buffer_for_thousands_of_constants() -> None:
    """Each addition has a constant of its own, all of them in one buffer: the file is small, what it asks for is not."""
    file = File()
    x = file.tensor([1, 1 << 18])
    current, first = x, file.tensor([1, 1 << 18], data=np.zeros(1 << 18, np.float32))
    for _ in range(400):
        constant, out = file.tensor([1, 1 << 18]), file.tensor([1, 1 << 18])
        file.graph.tensors[constant].buffer = file.graph.tensors[first].buffer
        file.operator("ADD", [current, constant], [out], schema.AddOptionsT)
        current = out
    assert "far more memory than the file is long" in refuse(file.build([x], [current]))


def test_constants_that_a_few_bytes_ask_to_be_filled() -> None:
    file = File()
    x, filled, y = file.tensor([1, 4]), file.tensor([1, 4]), file.tensor([1, 4])
    file.operator("FILL", [file.ints([1 << 30, 4]), file.reals(np.asarray(1.0, np.float32))], [filled], schema.FillOptionsT)
    file.operator("ADD", [x, filled], [y], schema.AddOptionsT)
    assert "too large for a constant" in refuse(file.build([x], [y]))


def test_many_tensors_of_one_name() -> None:
    file = File()
    current = x = file.tensor([1, 4], name="same")
    for _ in range(3000):
        out = file.tensor([1, 4], name="same")
        file.operator("RELU", [current], [out])
        current = out
    data = file.build([x], [current])
    start = time.perf_counter()
    graph = load_tflite(data)
    assert time.perf_counter() - start < 3.0
    assert len(graph.values) == 3001


# --- well formed, but not known ---------------------------------------------------------------------------------------------------------


def test_everything_that_is_not_known_is_listed_at_once() -> None:
    file = File()
    x, a, b, c = (
        file.tensor([1, 4], name="x"),
        file.tensor([1, 4], name="cosine"),
        file.tensor([1, 4], name="scaled"),
        file.tensor([1, 4], name="wave"),
    )
    file.operator("COS", [x], [a], schema.CosOptionsT)
    file.operator("ADD", [a, x], [b], schema.AddOptionsT, fusedActivationFunction=4)
    file.operator("SIN", [b], [c])
    message = refuse(file.build([x], [c]), UnsupportedError)
    assert message == (
        "'network' needs 3 things that Edgewright does not have:\n"
        "  COS 'cosine': this operator is not known here\n"
        "  ADD 'scaled': fused activation TANH\n"
        "  SIN 'wave': this operator is not known here"
    )


def test_custom_operators_are_named() -> None:
    file = File()
    x, y = file.tensor([1, 4], name="x"), file.tensor([1, 4], name="y")
    file.operator("CUSTOM", [x], [y])
    file.model.operatorCodes[-1].customCode = "ethos-u"
    assert "CUSTOM ethos-u 'y'" in refuse(file.build([x], [y]), UnsupportedError)


def test_a_network_that_is_half_integer_is_refused_with_the_place() -> None:
    file = network()
    real, soft = file.tensor([1, 3, 3, 4], name="real"), file.tensor([1, 3, 3, 4], name="soft")
    file.operator("DEQUANTIZE", [4], [real], schema.DequantizeOptionsT)
    file.operator("SOFTMAX", [real], [soft], schema.SoftmaxOptionsT, beta=1.0)
    message = refuse(file.build([0], [soft]), UnsupportedError)
    assert "SOFTMAX 'soft': tensor 'real' is float inside an integer network" in message


def test_dynamic_sizes_beside_the_batch_are_refused() -> None:
    file = File()
    x, y = file.tensor([1, 1, 4], name="x", signature=[-1, -1, 4]), file.tensor([1, 1, 4])
    file.operator("RELU", [x], [y])
    assert "INPUT 'x': axes [1] have no fixed size" in refuse(file.build([x], [y]), UnsupportedError)


@pytest.mark.parametrize(("kind", "words"), [("INT64", "type INT64"), ("INT32", "type INT32"), ("UINT8", "legacy quantization")])
def test_types_that_are_not_read(kind: str, words: str) -> None:
    file = File()
    x, y = int8(file, [1, 4], kind=kind, zero_point=0), int8(file, [1, 4], kind=kind, zero_point=0)
    file.operator("RELU", [x], [y])
    assert words in refuse(file.build([x], [y]), UnsupportedError)


def test_scales_that_no_kernel_changes() -> None:
    file = File()
    x, y = int8(file, [1, 4, 4, 2]), int8(file, [1, 2, 2, 2], 0.06)
    file.operator("MAX_POOL_2D", [x], [y], schema.Pool2DOptionsT, padding=1, strideH=2, strideW=2, filterHeight=2, filterWidth=2)
    assert "differ in scale or zero point" in refuse(file.build([x], [y]), UnsupportedError)


def test_a_reshape_does_not_change_the_scale() -> None:
    file = File()
    x, y = int8(file, [1, 4]), int8(file, [4, 1], 0.06)
    file.operator("RESHAPE", [x, file.ints([4, 1])], [y])
    assert "differ in scale or zero point" in refuse(file.build([x], [y]), UnsupportedError)


def test_asymmetric_weights_are_refused() -> None:
    file = network()
    file.graph.tensors[1].quantization.zeroPoint = [0, 0, 5, 0]
    assert "CONV_2D 't3': asymmetric weights" in refuse(file.build([0], [4]), UnsupportedError)


def test_softmax_on_another_grid_is_refused() -> None:
    file = network()
    file.graph.tensors[4].quantization.scale = [0.01]
    assert "the arithmetic needs 0.00390625 and -128" in refuse(file.build([0], [4]), UnsupportedError)


# --- by the hundred ---------------------------------------------------------------------------------------------------------------------


def test_mutated_files_never_crash_or_hang(shared_models: Path) -> None:
    """A few hundred of what benchmarks/fuzz.py does by the thousand."""
    sources = [path.read_bytes() for path in sorted(shared_models.rglob("k*.tflite"))]
    for make in CASES.values():
        file = File()
        x, outputs = make(file)
        sources.append(file.build([x], outputs))
    for graph in (ZOO["streaming"](), quantize_zoo(ZOO["streaming"]()), *(make() for make in INTEGER_ZOO.values())):
        sources += emit_tflite(graph).values()
    outcome = fuzz(FORMATS["tflite"], sources, 600, seed=11)
    assert not outcome.failures, "\n".join(outcome.failures)
    assert outcome.slowest_seconds < 5.0
    assert outcome.ends["a graph"] > 50 and outcome.ends["ModelError"] > 100
