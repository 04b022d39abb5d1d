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

    Samples do not see each other: a symbolic batch goes through in chunks (of ``chunk`` samples; by default as many as work fastest), with
    inputs that have no symbolic batch whole in each; where no input has one, the network runs as often as its inputs fit in. ``states``
    (value name → tensor) is read and updated in place; leave it out to start every sample from the initial values. ``observe`` is called
    with every value that a node computes, and every input.
    """
    arrays = check_inputs(graph, inputs)
    constants = constant_tensors(graph)
    step = (_samples(graph, arrays) if graph.states else chunk) or fast_chunk(graph)
    parts = _parts(graph, arrays, step)
    if graph.states and states is not None and len(parts) > 1:
        raise DataError(f"graph {graph.name!r} has states and takes one batch of its size at a time, got {len(parts)}",
                        hint="give the samples one after the other")
    pieces = []
    with torch.inference_mode():
        for part in parts:
            tensors = [torch.from_numpy(np.array(array)) for array in part]
            outputs = run_nodes(graph, tensors, constants, {} if states is None else states, observe)
            pieces.append([_leave(graph.value(name), tensor) for name, tensor in zip(graph.outputs, outputs, strict=True)])
    return [_join(graph, name, [piece[index] for piece in pieces]) for index, name in enumerate(graph.outputs)]


def evaluate_in_order(graph: Graph, inputs: Arrays, *, observe: Observer | None = None) -> list[NDArray[np.generic]]:
    """As :func:`evaluate`, but samples follow each other in time: what states keep goes on from each sample to the next.

    That is how a device calls a network that has states. Without states the samples go through in chunks.
    """
    arrays = check_inputs(graph, inputs)
    if not graph.states or not arrays:
        return evaluate(graph, arrays, observe=observe)
    states: dict[str, Tensor] = {}
    pieces = [evaluate(graph, part, states=states, observe=observe) for part in _parts(graph, arrays, 1)]
    return [_join(graph, name, [piece[index] for piece in pieces]) for index, name in enumerate(graph.outputs)]


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
    symbolic = _is_symbolic(graph)
    for name, array in zip(graph.inputs, inputs, strict=True):
        value = graph.value(name)
        array = np.asarray(array)
        if array.ndim != value.rank or array.shape[1:] != value.shape[1:]:
            raise DataError(f"input {name!r} has shape {list(array.shape)}, the network takes {list(value.shape)}",
                            hint="axis 0 is the batch; images are height x width x channels")
        fixed = value.shape[0] if value.rank else None
        if fixed is not None and (array.shape[0] != fixed if symbolic else array.shape[0] == 0 or array.shape[0] % max(fixed, 1)):
            raise DataError(f"input {name!r} has {array.shape[0]} along axis 0, the network takes {fixed} at a time",
                            hint=f"give {fixed}" if symbolic else f"give a multiple of {fixed}")
        if graph.level is Level.INTEGER and value.dtype.is_integer and array.dtype != value.dtype.numpy:
            raise DataError(f"input {name!r} is {array.dtype}, the network takes {value.dtype.value}",
                            hint="quantize it with the input's scale and zero point")
        _check_indices(graph, name, array)
        checked.append(array if graph.level is Level.INTEGER and value.dtype.is_integer else array.astype(np.float32, copy=False))
    if len(_counts(graph, checked)) > 1:
        raise DataError("the inputs differ in their number of samples")
    return checked


def rows_to_choose(graph: Graph, name: str) -> int | None:
    """How many rows the tables have (the shortest of them) that value ``name`` chooses from; None where it chooses from none."""
    if name not in graph.indices:
        return None
    found = [graph.value(node.inputs[0]).shape[0] for node in graph.consumers.get(name, ()) if node.op.index_inputs]
    moved = [rows_to_choose(graph, node.outputs[0]) for node in graph.consumers.get(name, ()) if not node.op.index_inputs]
    return min((rows for rows in (*found, *moved) if rows is not None), default=None)


def _check_indices(graph: Graph, name: str, array: NDArray[np.generic]) -> None:
    """DataError where input ``name`` chooses rows of a table and ``array`` holds what is none."""
    rows = rows_to_choose(graph, name)
    if rows is None or not array.size:
        return
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise DataError(f"input {name!r} chooses rows of a table, and holds numbers that are not whole",
                        hint="give the indices as integers")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= rows:
        raise DataError(f"input {name!r} chooses rows {low} to {high} of a table of {rows}",
                        hint="indices count from 0; was the tokenizer made for this network?")


def _is_symbolic(graph: Graph) -> bool:
    """Whether an input has a symbolic batch."""
    return any(graph.value(name).shape[:1] == (None,) for name in graph.inputs)


def _counts(graph: Graph, arrays: Arrays) -> set[int]:
    """How many samples each input with a symbolic batch has; where none has, how many times each input fits in."""
    symbolic = _is_symbolic(graph)
    pairs = [(array, graph.value(name).shape) for array, name in zip(arrays, graph.inputs, strict=True)]
    return {array.shape[0] // (shape[0] or 1) for array, shape in pairs if shape and (shape[0] is None or not symbolic)}


def _samples(graph: Graph, arrays: Arrays) -> int:
    return max(_counts(graph, arrays), default=1)


def _parts(graph: Graph, arrays: Arrays, step: int) -> list[list[NDArray[np.generic]]]:
    """The inputs of each call: ``step`` samples of a symbolic batch, or as many as the fixed one has."""
    pairs = [(array, graph.value(name).shape) for array, name in zip(arrays, graph.inputs, strict=True)]
    samples = _samples(graph, arrays)
    if _is_symbolic(graph):
        starts = range(0, max(1, samples), max(1, step))
        return [[array[start:start + step] if shape[:1] == (None,) else array for array, shape in pairs] for start in starts]
    sized = [(array, shape[0] or 1 if shape else 0) for array, shape in pairs]
    return [[array[call * size:(call + 1) * size] if size else array for array, size in sized] for call in range(samples)]


def _leave(value: Value, x: Tensor) -> NDArray[np.generic]:
    """A graph output as callers get it: in the element type of ``value``."""
    return x.numpy().astype(value.dtype.numpy)


def _join(graph: Graph, name: str, pieces: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """An output of all calls; what has no batch (a constant) is the same in every chunk of a symbolic batch."""
    value = graph.value(name)
    if len(pieces) == 1 or (_is_symbolic(graph) and value.shape[:1] != (None,)):
        return pieces[0]
    return np.concatenate(pieces) if value.rank else np.stack(pieces)


def constant_tensors(graph: Graph) -> dict[str, Tensor]:
    """Constants as tensors: float32 at the float and quantized levels (there rounded to their grids), int32 at the integer level."""
    tensors = {}
    for name, constant in graph.constants.items():
        if graph.level is Level.INTEGER:
            tensors[name] = torch.from_numpy(constant.array.astype(np.int32))
        else:
            tensors[name] = torch.from_numpy(quantized_constant(graph, name))
    return tensors


def quantized_constant(graph: Graph, name: str) -> NDArray[np.float32]:
    """A constant of a float or quantized graph, rounded to its grid where it has one."""
    array, quant = graph.array(name).astype(np.float32), graph.value(name).quant
    return array if quant is None else np.asarray(quant.to_real(quant.to_integer(array)))


def run_nodes(
    graph: Graph, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], states: dict[str, Tensor], observe: Observer | None
) -> list[Tensor]:
    """One pass over the nodes; values are dropped after their last reader."""
    integer = graph.level is Level.INTEGER
    held: dict[str, Tensor] = {name: _enter(graph.value(name), x, integer) for name, x in zip(graph.inputs, inputs, strict=True)}
    batch = next((x.shape[0] for name, x in zip(graph.inputs, inputs, strict=True) if graph.value(name).shape[:1] == (None,)), 1)
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
            held[value.name] = result if integer else snap(value, result)
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
    return snap(value, x)


def snap(value: Value, x: Tensor) -> Tensor:
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
