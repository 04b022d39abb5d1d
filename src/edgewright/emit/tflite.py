"""Graph to .tflite, for LiteRT, TensorFlow Lite Micro, Coral and the Ethos-U compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ai_edge_litert import schema_py_generated as schema

from edgewright.emit import tflite_activations as activations
from edgewright.emit import tflite_attention as attention
from edgewright.emit import tflite_elementwise as elementwise
from edgewright.emit import tflite_layers as layers
from edgewright.emit import tflite_recurrent as recurrent
from edgewright.emit.tflite_elementwise import Writing, no_int8_kernel, plain
from edgewright.emit.tflite_sparse import store_sparse
from edgewright.emit.tflite_tables import store_decoded, store_tables
from edgewright.emit.tflite_writer import Subgraph, Tensor, Writer, batch_of_one, file_name
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, State

OPERATORS: Mapping[str, Writing] = {
    "Conv2D": layers.conv2d, "DepthwiseConv2D": layers.depthwise_conv2d, "TransposeConv2D": layers.transpose_conv2d, "Dense": layers.dense,
    "Embedding": attention.embedding, "MatMul": attention.matmul, "LSTM": recurrent.lstm, "LayerNorm": attention.layer_norm,
    "MaxPool2D": layers.max_pool2d, "AveragePool2D": layers.average_pool2d, "Resize": layers.resize,
    "Add": elementwise.add, "Sub": elementwise.sub, "Mul": elementwise.mul, "BatchNorm": elementwise.batch_norm,
    "Reshape": elementwise.reshape, "Transpose": elementwise.transpose, "Slice": elementwise.slice_, "Concat": elementwise.concat,
    "Pad": elementwise.pad_operator, "Mean": elementwise.mean, "Softmax": activations.softmax,
    "LogSoftmax": plain("LOG_SOFTMAX", schema.LogSoftmaxOptionsT),
    "Relu": plain("RELU"), "Relu6": activations.relu6, "LeakyRelu": activations.leaky_relu, "PRelu": activations.prelu,
    "Sigmoid": plain("LOGISTIC"), "Tanh": plain("TANH"),
    "Rsqrt": plain("RSQRT"), "HardSwish": plain("HARD_SWISH", schema.HardSwishOptionsT),
    "Abs": plain("ABS", schema.AbsOptionsT), "ELU": activations.elu,
    "HardSigmoid": activations.hard_sigmoid, "SiLU": activations.silu, "GELU": activations.gelu,
    "Quantize": elementwise.quantize, "Dequantize": elementwise.dequantize,
    "Requantize": elementwise.quantize,
}
"""The graph's operator → the function that writes it."""
EXPANDABLE = frozenset({"SiLU", "HardSigmoid"})
"""Without an int8 kernel in the format; pass expand_activations writes them as operators that have one."""
FLOAT_ONLY = EXPANDABLE | {"LayerNorm"}
"""All operators without an int8 kernel in the format."""
ABSENT = frozenset({"GRU", "Mish", "Softplus"})
"""Operators that the format does not have."""
WITHOUT_TFLM_KERNEL = frozenset({"GELU"})
"""Operators that LiteRT runs at int8 and TensorFlow Lite Micro does not."""
WITHOUT_REFERENCE_KERNEL = frozenset({"ELU"})
"""Operators that LiteRT has among its optimized kernels alone."""


FORMS: Mapping[str, Callable[[Writer], None]] = {
    "plain": lambda writer: None, "tables": store_tables, "decode": store_decoded, "sparse": store_sparse,
}
"""How weights are stored. Plain: every runtime takes them. Tables, and decode: few values and narrow indices, for TensorFlow Lite Micro
alone, unpacked by its kernels or by an operator. Sparse: float weights without their zeros, for LiteRT alone."""


def emit_tflite(graph: Graph, *, weights: str = "plain") -> dict[str, bytes]:
    """``NAME.tflite`` → its bytes, which are the same for the same graph; nothing is written.

    ``weights``: a key of FORMS; each weight is stored so where that saves bytes, and where none does the file is the plain one.

    Float networks become float32 (float16 constants behind DEQUANTIZE), quantized ones whose weights alone carry a Quant get int8
    weights for the runtime's hybrid kernels, integer ones keep every byte. The batch is written as 1. UnsupportedError names every
    operator that the format cannot express.
    """
    _check(graph)
    contents = _written(graph, "plain")
    if weights != "plain":
        contents = min(contents, _written(graph, weights), key=len)
    return {f"{file_name(graph.name)}.tflite": contents}


def _written(graph: Graph, weights: str) -> bytes:
    writer = Writer(graph, weights)
    main = writer.subgraphs[0]
    main.inputs = [writer.value(name).index for name in graph.inputs]
    states = _States(writer)
    problems: list[UnsupportedError] = []
    for node in graph.nodes:
        states.read_before(node.inputs)
        try:
            OPERATORS[node.op.kind](writer, node)
        except UnsupportedError as problem:
            problems.append(problem)
        states.assign_after(node.outputs)
    _raise(problems)
    states.finish()
    main.outputs = [writer.value(name).index for name in graph.outputs]
    FORMS[weights](writer)
    return writer.finish()


def audit_tflite(graph: Graph) -> None:
    """UnsupportedError for what :func:`emit_tflite` will refuse once float ``graph`` is quantized; to be called before that work."""
    problems: list[UnsupportedError] = []
    missing = [node for node in graph.nodes if node.op.kind in FLOAT_ONLY]
    problems += [no_int8_kernel(node) for node in missing]
    try:
        emit_tflite(graph)
    except UnsupportedError as problem:
        problems.append(problem)
    _raise(problems)


def _raise(problems: Sequence[UnsupportedError]) -> None:
    if problems:
        raise UnsupportedError("\n".join(problem.message for problem in problems),
                               hint="; ".join(dict.fromkeys(problem.hint for problem in problems)))


def _check(graph: Graph) -> None:
    unknown = [f"{node.op.kind} {node.name!r}" for node in graph.nodes if node.op.kind not in OPERATORS]
    if unknown:
        hint = "write C or .onnx, or replace the operator: a GRU by an LSTM, Mish by HardSwish"
        raise UnsupportedError(f".tflite has no operator for {', '.join(unknown)}", hint=hint)
    odd = [value for name, value in graph.values.items() if name not in graph.constants and value.dtype.is_integer]
    odd = [value for value in odd if value.dtype not in (DType.INT8, DType.INT16, DType.INT32)]
    if odd:
        raise UnsupportedError(f".tflite has no kernels for {odd[0].dtype.value} activations: {odd[0].name!r} and {len(odd) - 1} others",
                               hint="use 8-bit activations")


class _States:
    """States as variables: each is read before its first reader and assigned once it was read and its next content is known."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.waiting: dict[str, State] = {state.read: state for state in writer.graph.states}
        self.handles: dict[str, Tensor] = {}
        self.unassigned = list(writer.graph.states)
        self.known = {*writer.graph.inputs, *writer.graph.constants}
        if self.waiting:
            self._declare()

    def _declare(self) -> None:
        """CALL_ONCE of a subgraph with the first contents, and a handle for each variable."""
        writer = self.writer
        options = schema.CallOnceOptionsT()
        options.initSubgraphIndex = 1
        writer.operator("CALL_ONCE", [], [], options)
        writer.subgraphs.append(Subgraph("initialize"))
        for state in writer.graph.states:
            value = writer.graph.value(state.read)
            array = writer.graph.array(state.initial).astype(value.dtype.numpy)
            first = writer.tensor(f"{state.read}_initial", batch_of_one(value.shape), writer.value(state.read).type, data=array.tobytes(),
                                  quant=value.quant, subgraph=1)
            handle = self._handle(state, 1)
            writer.operator("ASSIGN_VARIABLE", [handle, first], [], schema.AssignVariableOptionsT(), subgraph=1)
            self.handles[state.read] = self._handle(state, 0)

    def _handle(self, state: State, subgraph: int) -> Tensor:
        options = schema.VarHandleOptionsT()
        options.container, options.sharedName = "", state.read
        handle = self.writer.tensor(self.writer.name(f"{state.read}_handle"), (), "RESOURCE", subgraph=subgraph)
        self.writer.operator("VAR_HANDLE", [], [handle], options, subgraph=subgraph)
        return handle

    def read_before(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name in self.waiting:
                self._read(name)

    def _read(self, name: str) -> None:
        del self.waiting[name]
        self.known.add(name)
        self.writer.operator("READ_VARIABLE", [self.handles[name]], [self.writer.value(name)], schema.ReadVariableOptionsT())

    def assign_after(self, names: tuple[str, ...]) -> None:
        self.known.update(names)
        ready = [state for state in self.unassigned if state.read not in self.waiting and state.write in self.known]
        for state in ready:
            self.unassigned.remove(state)
            self.writer.operator("ASSIGN_VARIABLE", [self.handles[state.read], self.writer.value(state.write)], [],
                                 schema.AssignVariableOptionsT())

    def finish(self) -> None:
        """Read what only an output or another state shows, then assign the rest."""
        for name in list(self.waiting):
            self._read(name)
        self.assign_after(())
