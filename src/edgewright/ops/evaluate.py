"""A whole graph, operator by operator, at any level: the reference that every emitted file is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import DataError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Graph, Level, Value

Arrays = Sequence[NDArray[np.generic]]
Observer = Callable[[Value, Tensor], None]
CHUNK_ELEMENTS = 1 << 20
"""Elements of the largest value in one chunk."""
MOST_SAMPLES = 1024
"""Samples in one chunk, however small the network."""


def evaluate(
    graph: Graph, inputs: Arrays, *, states: dict[str, Tensor] | None = None, observe: Observer | None = None, chunk: int | None = None
) -> list[NDArray[np.generic]]:
    """Outputs of ``graph`` for ``inputs`` (one array an input, the batch at axis 0, integers at the integer level).

    Samples do not see each other: a symbolic batch goes through in chunks (of ``chunk`` samples; by default as many as work fastest), a
    fixed one as often as its size fits into the inputs. ``states`` (value name → tensor) is read and updated in place; leave it out to
    start every sample from the initial values. ``observe`` is called with every value that a node computes, and every input.
    """
    arrays = check_inputs(graph, inputs)
    constants = constant_tensors(graph)
    calls = _calls(graph, arrays)
    if calls is None:
        step = max(1, _batch(arrays)) if graph.states else chunk or fast_chunk(graph)
        parts = [[array[start:start + step] for array in arrays] for start in range(0, max(1, _batch(arrays)), step)]
    else:
        parts = [[_slice(array, call, calls) for array in arrays] for call in range(calls)]
    if graph.states and states is not None and len(parts) > 1:
        raise DataError(f"graph {graph.name!r} has states and takes one batch of its size at a time, got {len(parts)}",
                        hint="give the samples one after the other")
    pieces = []
    with torch.inference_mode():
        for part in parts:
            tensors = [torch.from_numpy(np.array(array)) for array in part]
            outputs = run_nodes(graph, tensors, constants, {} if states is None else states, observe)
            pieces.append([_leave(graph.value(name), tensor) for name, tensor in zip(graph.outputs, outputs, strict=True)])
    return [_join(graph.value(name), [piece[index] for piece in pieces], calls is None) for index, name in enumerate(graph.outputs)]


def evaluate_in_order(graph: Graph, inputs: Arrays, *, observe: Observer | None = None) -> list[NDArray[np.generic]]:
    """As :func:`evaluate`, but samples follow each other in time: what states keep goes on from each sample to the next.

    That is how a device calls a network that has states. Without states the samples go through in chunks.
    """
    arrays = check_inputs(graph, inputs)
    if not graph.states or not arrays:
        return evaluate(graph, arrays, observe=observe)
    states: dict[str, Tensor] = {}
    calls = _calls(graph, arrays) or max(1, _batch(arrays))
    pieces = [evaluate(graph, [_slice(array, call, calls) for array in arrays], states=states, observe=observe) for call in range(calls)]
    return [_join(graph.value(name), [piece[index] for piece in pieces], False) for index, name in enumerate(graph.outputs)]


def fast_chunk(graph: Graph) -> int:
    """Samples at a time that keep the largest value of ``graph`` near the caches."""
    largest = max((value.elements for name, value in graph.values.items() if name not in graph.constants), default=1)
    return min(MOST_SAMPLES, max(1, CHUNK_ELEMENTS // max(largest, 1)))


def check_inputs(graph: Graph, inputs: Arrays) -> list[NDArray[np.generic]]:
    """``inputs`` as arrays of the right type and shape; DataError says which does not fit."""
    if len(inputs) != len(graph.inputs):
        raise DataError(f"graph {graph.name!r} takes {len(graph.inputs)} inputs, got {len(inputs)}",
                        hint=f"they are {', '.join(graph.inputs)}")
    checked = []
    for name, array in zip(graph.inputs, inputs, strict=True):
        value = graph.value(name)
        array = np.asarray(array)
        if array.ndim != value.rank or array.shape[1:] != value.shape[1:]:
            raise DataError(f"input {name!r} has shape {list(array.shape)}, the network takes {list(value.shape)}",
                            hint="axis 0 is the batch; images are height x width x channels")
        fixed = value.shape[0] if value.rank else None
        if fixed is not None and (array.shape[0] == 0 or array.shape[0] % fixed):
            raise DataError(f"input {name!r} has {array.shape[0]} along axis 0, the network takes {fixed} at a time",
                            hint=f"give a multiple of {fixed}")
        if graph.level is Level.INTEGER and value.dtype.is_integer and array.dtype != value.dtype.numpy:
            raise DataError(f"input {name!r} is {array.dtype}, the network takes {value.dtype.value}",
                            hint="quantize it with the input's scale and zero point")
        checked.append(array if graph.level is Level.INTEGER and value.dtype.is_integer else array.astype(np.float32, copy=False))
    shapes = [graph.value(name).shape for name in graph.inputs]
    if len({array.shape[0] // (shape[0] or 1) for array, shape in zip(checked, shapes, strict=True) if shape}) > 1:
        raise DataError("the inputs differ in their number of samples")
    return checked


def _calls(graph: Graph, arrays: Arrays) -> int | None:
    """How many times a graph whose batch is fixed has to run; None where the batch of every input is symbolic."""
    shapes = [graph.value(name).shape for name in graph.inputs]
    if shapes and all(shape[:1] == (None,) for shape in shapes):
        return None
    counts = [array.shape[0] // (shape[0] or 1) for array, shape in zip(arrays, shapes, strict=True) if shape]
    return counts[0] if counts else 1


def _batch(arrays: Arrays) -> int:
    return arrays[0].shape[0] if arrays and arrays[0].ndim else 1


def _slice(array: NDArray[np.generic], call: int, calls: int) -> NDArray[np.generic]:
    """The part of ``array`` that goes into one of ``calls`` calls."""
    if not array.ndim:
        return array
    step = array.shape[0] // calls
    return array[call * step:(call + 1) * step]


def _leave(value: Value, x: Tensor) -> NDArray[np.generic]:
    """A graph output as callers get it: in the element type of ``value``."""
    return x.numpy().astype(value.dtype.numpy)


def _join(value: Value, pieces: list[NDArray[np.generic]], symbolic: bool) -> NDArray[np.generic]:
    """An output of all calls; what has no batch (a constant) is the same in every chunk of a symbolic batch."""
    if len(pieces) == 1 or (symbolic and value.shape[:1] != (None,)):
        return pieces[0]
    return np.concatenate(pieces) if value.rank else np.stack(pieces)


def constant_tensors(graph: Graph) -> dict[str, Tensor]:
    """Constants as tensors: float32 at the float and quantized levels (there rounded to their grids), int32 at the integer level."""
    tensors = {}
    for name, constant in graph.constants.items():
        value = graph.value(name)
        array = constant.array
        if graph.level is Level.INTEGER:
            tensors[name] = torch.from_numpy(array.astype(np.int32))
        elif value.quant is not None:
            tensors[name] = torch.from_numpy(np.asarray(value.quant.to_real(value.quant.to_integer(array.astype(np.float32)))))
        else:
            tensors[name] = torch.from_numpy(array.astype(np.float32))
    return tensors


def run_nodes(
    graph: Graph, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], states: dict[str, Tensor], observe: Observer | None
) -> list[Tensor]:
    """One pass over the nodes; values are dropped after their last reader."""
    integer = graph.level is Level.INTEGER
    held: dict[str, Tensor] = {name: _enter(graph.value(name), x, integer) for name, x in zip(graph.inputs, inputs, strict=True)}
    batch = inputs[0].shape[0] if inputs and inputs[0].ndim else 1
    for state in graph.states:
        initial = constants[state.initial]
        fresh = initial.expand(batch, *initial.shape[1:]) if graph.value(state.read).shape[:1] == (None,) else initial
        held[state.read] = states.get(state.read, fresh)
    if observe is not None:
        for name in graph.inputs:
            observe(graph.value(name), held[name])
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    keep = graph.kept
    for node in graph.nodes:
        tensors = [constants[name] if name in constants else held[name] for name in node.inputs]
        ins, outs = graph.ins(node), graph.outs(node)
        results = node.op.evaluate_integer(tensors, ins, outs) if integer else node.op.evaluate(tensors)
        for value, result in zip(outs, results, strict=True):
            held[value.name] = result if integer else _snap(value, result)
            if observe is not None:
                observe(value, held[value.name])
        for name in node.inputs:
            if last[name] == node.name and name not in keep:
                held.pop(name, None)
    for state in graph.states:
        states[state.read] = held[state.write] if state.write in held else constants[state.write]
    return [held[name] if name in held else constants[name] for name in graph.outputs]


def _enter(value: Value, x: Tensor, integer: bool) -> Tensor:
    """A graph input as evaluation holds it: int32 for integers, on its grid for floats."""
    if integer:
        return x.to(torch.int32) if value.dtype.is_integer else x
    return _snap(value, x)


def _snap(value: Value, x: Tensor) -> Tensor:
    """Round floats to the grid of ``value.quant`` (quantized level); unchanged where there is none."""
    return x if value.quant is None else fake_quantize(x, value.quant)


def fake_quantize(x: Tensor, quant: Quant) -> Tensor:
    """The reals nearest to ``x`` that ``quant`` can hold (ties to even)."""
    scale = torch.from_numpy(np.array(quant.scales(x.ndim)))
    zero_point = torch.from_numpy(np.array(quant.zero_points(x.ndim)))
    steps = torch.clamp(torch.round(x / scale) + zero_point, quant.dtype.minimum, quant.dtype.maximum)
    return (steps - zero_point) * scale


def quantize_inputs(graph: Graph, inputs: Arrays) -> list[NDArray[np.generic]]:
    """Real inputs as the integers that integer-level ``graph`` takes."""
    result: list[NDArray[np.generic]] = []
    for name, array in zip(graph.inputs, inputs, strict=True):
        value = graph.value(name)
        quant = value.quant
        result.append(np.asarray(array, value.dtype.numpy) if quant is None else quant.to_integer(np.asarray(array, np.float32)))
    return result


def dequantize_outputs(graph: Graph, outputs: Arrays) -> list[NDArray[np.float32]]:
    """Integer outputs of integer-level ``graph`` as reals."""
    result = []
    for name, array in zip(graph.outputs, outputs, strict=True):
        quant = graph.value(name).quant
        result.append(np.asarray(array, np.float32) if quant is None else quant.to_real(array))
    return result
