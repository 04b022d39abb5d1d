"""The rules of a well-formed graph, checked after every pass and at every door."""

from __future__ import annotations

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Level, Node, Value

MAX_ELEMENTS = 1 << 31


def verify(graph: Graph) -> Graph:
    """Return ``graph``, or raise ModelError naming the first rule that it breaks and where."""
    for value in graph.values.values():
        _check_value(graph, value)
    defined = _check_sources(graph)
    names: set[str] = set()
    for node in graph.nodes:
        if node.name in names:
            raise _broken(graph, f"two nodes are called {node.name!r}")
        names.add(node.name)
        _check_node(graph, node, defined)
        defined.update(node.outputs)
    for name in (*graph.outputs, *(state.write for state in graph.states)):
        if name not in defined:
            raise _broken(graph, f"output or state {name!r} is never computed")
    if not graph.outputs:
        raise _broken(graph, "it has no outputs")
    if set(graph.values) != defined:
        raise _broken(graph, f"values that nothing defines: {sorted(set(graph.values) - defined)[:3]}")
    return graph


def _check_sources(graph: Graph) -> set[str]:
    defined: set[str] = set()
    for name in (*graph.inputs, *graph.constants, *(state.read for state in graph.states)):
        graph.value(name)
        if name in defined:
            raise _broken(graph, f"value {name!r} has two sources")
        defined.add(name)
    for name, constant in graph.constants.items():
        value = graph.value(name)
        if tuple(constant.array.shape) != value.shape or constant.array.dtype != value.dtype.numpy:
            held = f"{constant.array.dtype}{list(constant.array.shape)}"
            raise _broken(graph, f"constant {name!r} is {held}, declared {value.dtype.value}{list(value.shape)}")
    for state in graph.states:
        if state.initial not in graph.constants:
            raise _broken(graph, f"state {state.read!r} has no initial constant")
        read, write = graph.value(state.read), graph.value(state.write)
        if write.dtype != read.dtype or write.shape != read.shape:
            raise _broken(graph, f"state {state.read!r} and what is written to it differ in type or shape")
    return defined


def _check_node(graph: Graph, node: Node, defined: set[str]) -> None:
    low, high = node.op.inputs_range
    if not low <= len(node.inputs) <= high:
        raise _broken(graph, f"{node.op.kind} {node.name!r} has {len(node.inputs)} inputs, takes {low} to {high}")
    for name in node.inputs:
        if name not in defined:
            raise _broken(graph, f"{node.op.kind} {node.name!r} reads {name!r} before it is computed")
    for name in node.outputs:
        if name in defined:
            raise _broken(graph, f"value {name!r} has two sources")
    shapes = node.op.infer(graph.ins(node))
    declared = tuple(value.shape for value in graph.outs(node))
    if graph.level is Level.INTEGER and node.op.kind == "Dequantize" and graph.value(node.outputs[0]).dtype.is_integer:
        raise _broken(graph, f"Dequantize {node.name!r} gives reals, declared {graph.value(node.outputs[0]).dtype.value}")
    if shapes != declared:
        raise _broken(graph, f"{node.op.kind} {node.name!r} gives shapes {list(shapes)}, declared {list(declared)}")


def _check_value(graph: Graph, value: Value) -> None:
    if any(size is None for size in value.shape[1:]) or any(size is not None and size < 0 for size in value.shape):
        raise _broken(graph, f"value {value.name!r} has shape {value.shape}: only axis 0, the batch, may be unknown")
    if value.elements > MAX_ELEMENTS:
        raise _broken(graph, f"value {value.name!r} has {value.elements} elements")
    quant = value.quant
    if quant is not None and quant.axis is not None:
        if not 0 <= quant.axis < value.rank or value.shape[quant.axis] != len(quant.scale):
            raise _broken(graph, f"value {value.name!r} has {len(quant.scale)} scales along axis {quant.axis} of shape {value.shape}")
    if graph.level is Level.FLOAT and quant is not None:
        raise _broken(graph, f"value {value.name!r} is quantized in a float graph")
    if graph.level is Level.INTEGER:
        if not value.dtype.is_integer and not _is_float_edge(graph, value):
            raise _broken(graph, f"value {value.name!r} is {value.dtype.value} in an integer graph")
        if quant is not None and quant.dtype is not value.dtype:
            raise _broken(graph, f"value {value.name!r} is {value.dtype.value}, its quantization says {quant.dtype.value}")
    elif value.dtype not in (DType.FLOAT32, DType.FLOAT16) and value.name not in graph.constants:
        raise _broken(graph, f"value {value.name!r} is {value.dtype.value} in a {graph.level.value} graph")


def _is_float_edge(graph: Graph, value: Value) -> bool:
    """Whether a float value of an integer graph is an input that only Quantize reads, or an output of Dequantize that nobody reads."""
    readers = graph.consumers.get(value.name, ())
    if value.name in graph.inputs:
        return value.name not in graph.kept and all(node.op.kind == "Quantize" for node in readers)
    maker = graph.producers.get(value.name)
    return maker is not None and maker.op.kind == "Dequantize" and not readers and value.name in graph.outputs


def _broken(graph: Graph, what: str) -> ModelError:
    return ModelError(f"graph {graph.name!r} is not well formed: {what}",
                      hint="if a pass made it, that is a defect of the pass; if it was read from a file, the file is damaged")
