"""From the quantized level to the integer level: constants become integers, and every change of scale becomes a Requantize."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node, Value
from edgewright.ir.verify import verify
from edgewright.ops.requantize import Requantize
from edgewright.targets.target import Target


def lower_integer(graph: Graph, target: Target) -> Graph:
    """The integer graph that ``graph`` (quantized level) stands for; an integer graph comes back as it is.

    ModelError where a value has no quantization: float activations have no integer form.
    """
    if graph.level is Level.INTEGER:
        return graph
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if bare or graph.level is not Level.QUANTIZED:
        raise ModelError(f"{len(bare)} values of {graph.name!r} are not quantized, {bare[0]!r} first" if bare else f"{graph.name!r} is a float graph",
                         hint="an integer-only target needs recipe w8a8; float16 and dynamic networks go to .tflite and .onnx alone")
    nodes, extra, copies = _requantize_clashes(graph)
    graph = rebuild(graph, nodes=nodes, values=extra, constants=copies)
    values = [dataclasses.replace(value, dtype=_quant(value).dtype) for value in graph.values.values()]
    constants = {name: _round(constant, graph.value(name)) for name, constant in graph.constants.items()}
    return verify(rebuild(graph, values=values, constants=constants, level=Level.INTEGER))


def _quant(value: Value) -> Quant:
    assert value.quant is not None
    return value.quant


def _round(constant: Constant, value: Value) -> Constant:
    return Constant(_quant(value).to_integer(np.asarray(constant.array, np.float32)), constant.structure)


def _requantize_clashes(graph: Graph) -> tuple[list[Node], list[Value], dict[str, Constant]]:
    """Put a Requantize before operators that pass integers through although input and output differ in scale."""
    nodes: list[Node] = []
    extra: list[Value] = []
    copies: dict[str, Constant] = {}
    taken = set(graph.values)
    for node in graph.nodes:
        if node.op.same_quant:
            wanted = _quant(graph.value(node.outputs[0]))
            inputs = []
            for name in node.inputs:
                value = graph.value(name)
                if _quant(value) == wanted:
                    inputs.append(name)
                    continue
                renamed = fresh_name(taken, f"{name}_requantized")
                taken.add(renamed)
                extra.append(dataclasses.replace(value, name=renamed, quant=wanted))
                if graph.is_constant(name):
                    copies[renamed] = graph.constants[name]
                else:
                    nodes.append(Node(renamed, Requantize(), (name,), (renamed,)))
                inputs.append(renamed)
            node = dataclasses.replace(node, inputs=tuple(inputs))
        nodes.append(node)
    return nodes, extra, copies
