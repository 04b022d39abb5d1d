"""emit_tflite on the zoo: what it writes gives, in the runtimes that define the format, what the graph gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor

from edgewright.emit.tflite import ABSENT, FLOAT_ONLY, WITHOUT_REFERENCE_KERNEL, audit_tflite, emit_tflite
from edgewright.emit.tflite_writer import ALIGNMENT
from edgewright.errors import UnsupportedError
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level
from edgewright.ir.verify import verify
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.convolution import Padding
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.silu import SiLU
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.run.litert import run_litert
from edgewright.run.tflm import run_tflm
from tests.zoo import INTEGER_ZOO, ZOO, integer_inputs, quantize_zoo, zoo_inputs

RNG = np.random.default_rng(2)


def each_anew(graph: Graph, inputs: list[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """Outputs of ``graph``; where it has states, every sample starts from the first ones."""
    if not graph.states:
        return evaluate(graph, inputs)
    parts = [evaluate(graph, [array[start : start + 1] for array in inputs]) for start in range(len(inputs[0]))]
    return [np.concatenate(row) for row in zip(*parts, strict=True)]


@pytest.mark.parametrize("name", sorted(ZOO))
def test_float_networks_agree_with_litert(name: str) -> None:
    graph = ZOO[name]()
    if any(node.op.kind in ABSENT for node in graph):
        return
    inputs, files = zoo_inputs(graph, 3), emit_tflite(graph)
    own = each_anew(graph, inputs)
    bare = any(node.op.kind in WITHOUT_REFERENCE_KERNEL for node in graph)
    for kernels in ("optimized" if bare else "reference", "xnnpack"):
        for mine, theirs in zip(own, run_litert(files, inputs, kernels=kernels).outputs, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    for mine, again in zip(own, each_anew(load_tflite(*files.values()), inputs), strict=True):
        np.testing.assert_allclose(mine, again, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted({**ZOO, **INTEGER_ZOO}))
def test_integer_networks_read_back_with_their_bytes(name: str) -> None:
    """That TensorFlow Lite Micro gives them too is shown by the contract battery."""
    source = {**ZOO, **INTEGER_ZOO}[name]()
    graph = quantize_zoo(source)
    if any(node.op.kind in FLOAT_ONLY | ABSENT for node in graph):
        return
    inputs = integer_inputs(source, graph, 4)
    again = load_tflite(*emit_tflite(graph).values())
    for mine, reread in zip(each_anew(graph, inputs), each_anew(again, inputs), strict=True):
        np.testing.assert_array_equal(mine, reread)


@pytest.mark.parametrize("name", ["separable_keyword_spotter", "dense_autoencoder", "transpose_convolution", "streaming", "conv_grouped"])
@pytest.mark.parametrize("technique", ["quantize_float16", "quantize_dynamic"])
def test_smaller_weights_of_float_networks(name: str, technique: str) -> None:
    graph = ZOO[name]()
    options = {"minimum_elements": 1} if technique == "quantize_dynamic" else {}
    smaller = load_passes()[technique].function(graph, Context(), **options)
    inputs = zoo_inputs(graph, 3)
    (data,) = emit_tflite(smaller).values()
    own = each_anew(smaller, inputs)
    # Hybrid kernels quantize activations as they run; float16 weights become float32 before anything is computed.
    within = 1e-4 if technique == "quantize_float16" else 0.03 * max(float(np.abs(array).max()) for array in own)
    for kernels in ("reference", "xnnpack"):
        for mine, theirs in zip(own, run_litert({"a.tflite": data}, inputs, kernels=kernels).outputs, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=within)
    again = load_tflite(data)
    assert again.level is (Level.FLOAT if technique == "quantize_float16" else Level.QUANTIZED)
    for mine, reread in zip(own, each_anew(again, inputs), strict=True):
        np.testing.assert_allclose(mine, reread, rtol=1e-5, atol=1e-6)


def test_smaller_weights_make_smaller_files() -> None:
    graph = ZOO["dense_autoencoder"]()
    sizes = [len(*emit_tflite(graph).values())]
    for technique in ("quantize_float16", "quantize_dynamic"):
        sizes.append(len(*emit_tflite(load_passes()[technique].function(graph, Context())).values()))
    assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.6 * sizes[0]


def parsed(graph: Graph) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(*emit_tflite(graph).values(), 0)


def kinds(graph: Graph) -> list[str]:
    """The file's operators in order."""
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = parsed(graph)
    return [names[model.operatorCodes[operator.opcodeIndex].builtinCode] for operator in model.subgraphs[0].operators]


def test_the_file_is_what_runtimes_ask_for() -> None:
    graph = quantize_zoo(ZOO["separable_keyword_spotter"]())
    ((name, data),) = emit_tflite(graph).items()
    assert name == "separable_keyword_spotter.tflite" and data[4:8] == b"TFL3"
    assert emit_tflite(graph) == {name: data}
    model = parsed(graph)
    assert model.version == 3 and model.buffers[0].data is None
    codes = [(code.builtinCode, code.version) for code in model.operatorCodes]
    assert len(set(codes)) == len(codes)
    assert all(code.deprecatedBuiltinCode == min(code.builtinCode, 127) for code in model.operatorCodes)
    versions = dict(codes)
    assert versions[schema.BuiltinOperator.CONV_2D] == 3 and versions[schema.BuiltinOperator.FULLY_CONNECTED] == 4
    (metadata,) = model.metadata
    assert metadata.name == b"min_runtime_version"
    assert model.buffers[metadata.buffer].data.tobytes() == b"1.14.0".ljust(16, b"\0")
    assert all(tensor.shape[0] == 1 for tensor in model.subgraphs[0].tensors if tensor.buffer == 0)


def test_every_buffer_lies_aligned() -> None:
    data = next(iter(emit_tflite(quantize_zoo(ZOO["inverted_bottleneck"]())).values()))
    model = schema.Model.GetRootAs(data, 0)
    found = 0
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if not buffer.DataIsNone():
            place = buffer._tab.Vector(buffer._tab.Offset(4))
            assert place % ALIGNMENT == 0
            found += 1
    assert found > 5


def test_equal_constants_share_a_buffer() -> None:
    model = parsed(ZOO["shared_constants"]())
    buffers = [buffer.data.tobytes() for buffer in model.buffers[1:]]
    assert len(set(buffers)) == len(buffers)


def one_layer(op: Conv2D | MaxPool2D | AveragePool2D | TransposeConv2D, size: int = 8, kernel: int = 3) -> Graph:
    net = GraphBuilder("layer")
    inputs = [net.input("x", (None, size, size + 1, 4))]
    if isinstance(op, Conv2D | TransposeConv2D):
        inputs.append(net.constant("weight", RNG.normal(0, 0.3, (5, kernel, kernel, 4)).astype(np.float32)))
        inputs.append(net.constant("bias", RNG.normal(0, 0.3, 5).astype(np.float32)))
    return net.finish([net.node(op, inputs, name="y")])


@pytest.mark.parametrize(
    ("stride", "padding", "expected"),
    [
        ((1, 1), ((0, 0), (0, 0)), ["CONV_2D"]),
        ((1, 1), ((1, 1), (1, 1)), ["CONV_2D"]),
        ((2, 2), ((0, 1), (1, 1)), ["CONV_2D"]),
        ((2, 2), ((1, 1), (1, 1)), ["PAD", "CONV_2D"]),
        ((1, 1), ((2, 0), (1, 1)), ["PAD", "CONV_2D"]),
    ],
)
def test_padding_is_a_scheme_where_one_fits(stride: tuple[int, int], padding: Padding, expected: list[str]) -> None:
    graph = one_layer(Conv2D(stride, padding))
    assert kinds(graph) == expected
    inputs = zoo_inputs(graph, 2)
    np.testing.assert_allclose(evaluate(graph, inputs)[0], run_litert(emit_tflite(graph), inputs).outputs[0], atol=1e-5)


def test_padding_of_a_maximum_never_wins() -> None:
    graph = one_layer(MaxPool2D((3, 3), (2, 2), ((1, 1), (2, 0))))
    assert kinds(graph) == ["PADV2", "MAX_POOL_2D"]
    inputs = [-np.abs(array) - 1 for array in zoo_inputs(graph, 2)]
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], run_litert(emit_tflite(graph), inputs).outputs[0])


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolutions_of_every_padding(kernel: int, stride: int) -> None:
    for padding in ((0, 0), (1, 1), (0, 1), (1, 0)):
        for extra in range(stride):
            if sum(padding) < kernel:
                graph = one_layer(TransposeConv2D((stride, stride), (padding, padding), (extra, extra)), 4, kernel)
                inputs = zoo_inputs(graph, 2)
                own, files = evaluate(graph, inputs)[0], emit_tflite(graph)
                for kernels in ("reference", "optimized", "xnnpack"):
                    np.testing.assert_allclose(own, run_litert(files, inputs, kernels=kernels).outputs[0], atol=1e-4)


def test_a_wide_concatenation_is_cut_for_tflite_micro(needs_tflite_micro: None) -> None:
    quant = Quant.per_tensor(0.1, 3)
    net = GraphBuilder("wide", Level.INTEGER)
    x = net.input("x", (None, 2, 3), DType.INT8, quant)
    parts = [net.node(Relu(), [x], name=f"part{index}", quants=(quant,)) for index in range(23)]
    graph = net.finish([net.node(Concat(1), [*parts, x], name="y", quants=(quant,))])
    inputs = zoo_inputs(graph, 3)
    np.testing.assert_array_equal(run_tflm(emit_tflite(graph), inputs).outputs[0], evaluate(graph, inputs)[0])
    assert kinds(graph).count("CONCATENATION") == 4


def test_relu6_that_changes_the_scale(needs_tflite_micro: None) -> None:
    net = GraphBuilder("relu6", Level.INTEGER)
    x = net.input("x", (None, 64), DType.INT8, Quant.per_tensor(0.09, 5))
    graph = net.finish([net.node(Relu6(), [x], quants=(Quant.per_tensor(0.03, -100),))])
    assert kinds(graph) == ["RELU", "RELU6"]
    inputs = [np.arange(-128, 128, dtype=np.int8).reshape(4, 64)]
    np.testing.assert_array_equal(run_tflm(emit_tflite(graph), inputs).outputs[0], evaluate(graph, inputs)[0])


def test_int4_weights_are_packed(needs_tflite_micro: None) -> None:
    net = GraphBuilder("int4", Level.INTEGER)
    x = net.input("x", (None, 3), DType.INT8, Quant.per_tensor(0.1, 3))
    scale = np.asarray([0.2], np.float32)
    weight = net.constant("weight", RNG.integers(-8, 8, (5, 3)).astype(np.int8), dtype=DType.INT4, quant=Quant(DType.INT4, (0.2,), (0,)))
    bias = net.constant(
        "bias", RNG.integers(-99, 99, 5).astype(np.int32), quant=Quant(DType.INT32, (float(np.float32(0.1) * scale[0]),), (0,))
    )
    graph = net.finish([net.node(Dense(), [x, weight, bias], dtype=DType.INT8, quants=(Quant.per_tensor(0.2, -7),))])
    inputs = zoo_inputs(graph, 5)
    files = emit_tflite(graph)
    np.testing.assert_array_equal(run_tflm(files, inputs).outputs[0], evaluate(graph, inputs)[0])
    again = load_tflite(*files.values())
    assert rebuild(again, name=graph.name).digest == graph.digest


def test_a_shift_register_of_states() -> None:
    """State b takes over what state a was: each has to be read before the other is assigned."""
    net = GraphBuilder("shift")
    x = net.input("x", (None, 3))
    start = net.constant("start", np.asarray([[1, 2, 3]], np.float32))
    zeros = net.constant("zeros", np.zeros((1, 3), np.float32))
    a, b = net.state("a", (None, 3), start), net.state("b", (None, 3), zeros)
    y = net.node(Add(), [x, b], name="y")
    net.write_state("a", y)
    net.write_state("b", a)
    graph = verify(net.finish([y]))
    inputs = zoo_inputs(graph, 6)
    states: dict[str, Tensor] = {}
    steps = [evaluate(graph, [inputs[0][step : step + 1]], states=states)[0] for step in range(6)]
    files = emit_tflite(graph)
    np.testing.assert_allclose(np.concatenate(steps), run_litert(files, inputs, reset_state=False).outputs[0], rtol=1e-6)
    assert [(state.read, state.write) for state in load_tflite(*files.values()).states] == [("a", "y"), ("b", "a")]


def test_everything_that_cannot_be_written_is_named_at_once() -> None:
    quant = Quant.per_tensor(0.05, 3)
    net = GraphBuilder("tables", Level.INTEGER)
    x = net.input("x", (None, 4), DType.INT8, quant)
    y = net.node(SiLU(), [x], name="first", quants=(quant,))
    graph = net.finish([net.node(HardSigmoid(), [net.node(Relu(), [y], quants=(quant,))], name="second", quants=(quant,))])
    with pytest.raises(UnsupportedError) as found:
        emit_tflite(graph)
    assert found.value.message == "SiLU 'first' has no int8 kernel in .tflite\nHardSigmoid 'second' has no int8 kernel in .tflite"
    assert "before quantization" in found.value.hint


def test_the_audit_of_a_float_network_names_what_the_integer_one_will_lack() -> None:
    net = GraphBuilder("tables")
    y = net.node(SiLU(), [net.input("x", (None, 8, 8, 2))], name="gate")
    graph = net.finish([net.node(AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1))), [y], name="pool")])
    with pytest.raises(UnsupportedError) as found:
        audit_tflite(graph)
    first, second = found.value.message.splitlines()
    assert first == "SiLU 'gate' has no int8 kernel in .tflite" and second.startswith("AveragePool2D 'pool' pads by")
    assert "expand_activations" in found.value.hint
    audit_tflite(ZOO["activations"]())


def test_what_the_format_lacks() -> None:
    with pytest.raises(UnsupportedError, match="AveragePool2D 'y' pads by"):
        emit_tflite(one_layer(AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1)))))
    net = GraphBuilder("late", Level.QUANTIZED)
    graph = net.finish([net.node(Relu(), [net.input("x", (None, 4), quant=Quant.per_tensor(0.1))])])
    with pytest.raises(UnsupportedError, match="activation 'x' of 'late' is quantized but not lowered"):
        emit_tflite(graph)
    net = GraphBuilder("wide", Level.INTEGER)
    quant = Quant.per_tensor(0.1, 0, DType.INT4)
    graph = net.finish([net.node(Relu(), [net.input("x", (None, 4), DType.INT4, quant)], quants=(quant,))])
    with pytest.raises(UnsupportedError, match="int4 activations"):
        emit_tflite(graph)


def test_names_become_file_names() -> None:
    graph = dataclasses.replace(ZOO["conv_same_relu"](), name="../my net: v2")
    assert list(emit_tflite(graph)) == ["my_net_v2.tflite"]
