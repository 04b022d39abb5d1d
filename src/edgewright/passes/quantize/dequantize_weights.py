"""Weights that came quantized alone become the reals that they stand for."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|quantized", exact=True)
def dequantize_weights(graph: Graph, ctx: Context) -> Graph:
    """Make a float graph of one in which nothing but constants is quantized, so that it can be cleaned and quantized anew.

    That is what dynamic-range .tflite files hold. The numbers are those that the file computes with. Where activations are quantized as
    well, the graph stays as it is.
    """
    quantized = [name for name, value in graph.values.items() if value.quant is not None]
    if graph.level is not Level.QUANTIZED:
        return graph
    if not all(graph.is_constant(name) for name in quantized):
        ctx.skipped(graph.name, "its activations are quantized as well")
        return graph
    values, constants = [], {}
    for name in quantized:
        value = graph.value(name)
        assert value.quant is not None
        values.append(dataclasses.replace(value, quant=None, dtype=DType.FLOAT32))
        constants[name] = _reals(graph.constants[name], value.quant)
    ctx.did(graph.name, f"{len(values)} quantized constants made real numbers")
    return rebuild(graph, values=values, constants=constants, level=Level.FLOAT)


def _reals(constant: Constant, quant: Quant) -> Constant:
    """The numbers on the grid of ``quant``, and those of the codebook likewise: a row a channel where each has a scale of its own."""
    structure = constant.structure
    if structure is not None and structure.codebook is not None:
        codebook = np.asarray(structure.codebook, np.float32)
        if quant.axis == 0 and codebook.ndim == 1:
            codebook = np.broadcast_to(codebook, (constant.array.shape[0], len(codebook)))
        snapped = _snap(codebook, quant) if quant.axis in (None, 0) else None
        structure = dataclasses.replace(structure, codebook=snapped)
    return Constant(_snap(np.asarray(constant.array, np.float32), quant), structure)


def _snap(array: NDArray[np.float32], quant: Quant) -> NDArray[np.float32]:
    return quant.to_real(quant.to_integer(array))
