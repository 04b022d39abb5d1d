"""From the quantized level to the integer level: constants become integers, and every change of scale becomes a Requantize."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Value
from edgewright.ir.verify import verify
from edgewright.ops.grids import with_requantize
from edgewright.targets.target import Target


def lower_integer(graph: Graph, target: Target) -> Graph:
    """The integer graph that ``graph`` (quantized level) stands for; an integer graph comes back as it is.

    ModelError where a value has no quantization: float activations have no integer form.
    """
    if graph.level is Level.INTEGER:
        return graph
    if graph.level is not Level.QUANTIZED:
        hint = "an integer program needs recipe w8a8; float16 and dynamic networks go to .tflite and .onnx alone"
        raise ModelError(f"{graph.name!r} is a float network", hint=hint)
    graph = with_requantize(graph)
    values = [dataclasses.replace(value, dtype=_quant(value).dtype) for value in graph.values.values()]
    constants = {name: _round(constant, graph.value(name)) for name, constant in graph.constants.items()}
    return verify(rebuild(graph, values=values, constants=constants, level=Level.INTEGER))


def _quant(value: Value) -> Quant:
    assert value.quant is not None
    return value.quant


def _round(constant: Constant, value: Value) -> Constant:
    quant, structure = _quant(value), constant.structure
    if structure is not None and structure.codebook is not None:
        structure = dataclasses.replace(structure, codebook=_codebook(structure.codebook, quant))
    return Constant(quant.to_integer(np.asarray(constant.array, np.float32)), structure)


def _codebook(codebook: NDArray[np.generic], quant: Quant) -> NDArray[np.generic]:
    """The integers of ``codebook``: one row where all channels share them."""
    rows = np.asarray(codebook, np.float32).reshape(-1, codebook.shape[-1])
    if quant.axis is not None:
        rows = np.broadcast_to(rows, (len(quant.scale), rows.shape[1]))
    integers = quant.to_integer(rows)
    return integers[0] if (integers == integers[0]).all() else integers
