"""Transposes beside a dense layer vanish in the order of its weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.analysis.linear import Edits, Linear, linear
from edgewright.ir.graph import Constant, Graph, Node
from edgewright.ops.dense import Dense
from edgewright.ops.reshape import Reshape
from edgewright.ops.transpose import Transpose
from edgewright.passes.registry import Context, graph_pass

Indices = NDArray[np.int64]


@graph_pass(level="float|integer", exact=True)
def fold_transposes(graph: Graph, ctx: Context) -> Graph:
    """Take transposes between an image and a dense layer, before or behind it, into the order of the layer's columns or rows.

    A flatten in channels-first order costs nothing that way.
    """
    while True:
        edits = Edits(graph)
        touched: set[str] = set()
        for node in graph.nodes:
            part = linear(graph, node) if isinstance(node.op, Dense) else None
            if part is None or graph.value(part.data).rank != 2:
                continue
            before, after = _movers_before(graph, node), _movers_after(graph, node)
            for chain, fold in ((before, _fold_columns), (after, _fold_rows)):
                names = {node.name, *(other.name for other in chain)}
                if not chain or touched & names or not _movable(graph, part, chain is before):
                    continue
                fold(graph, part, chain, edits)
                touched |= names
                ctx.did(node.name, f"takes over {', '.join(repr(other.name) for other in chain if isinstance(other.op, Transpose))}")
        if not touched:
            return graph
        graph = edits.apply()


def _moves(graph: Graph, node: Node) -> bool:
    """Whether ``node`` only moves elements, and leaves those of each sample in their sample."""
    if isinstance(node.op, Transpose):
        return node.op.permutation[0] == 0
    return node.op.view and graph.value(node.inputs[0]).shape[:1] == graph.value(node.outputs[0]).shape[:1]


def _movers_before(graph: Graph, node: Node) -> list[Node]:
    """The transposes and reshapes right before ``node``, first one first, beginning with a transpose; read by each other alone."""
    chain: list[Node] = []
    reader = node
    while True:
        maker = graph.producers.get(reader.inputs[0])
        if maker is None or not _moves(graph, maker) or graph.sole_consumer(reader.inputs[0]) is not reader:
            break
        chain.insert(0, maker)
        reader = maker
    while chain and not isinstance(chain[0].op, Transpose):
        chain.pop(0)
    return chain


def _movers_after(graph: Graph, node: Node) -> list[Node]:
    """The transposes and reshapes right behind ``node``, ending with a transpose; read by each other alone."""
    chain: list[Node] = []
    name = node.outputs[0]
    while True:
        reader = graph.sole_consumer(name)
        if reader is None or not _moves(graph, reader):
            break
        chain.append(reader)
        name = reader.outputs[0]
    while chain and not isinstance(chain[-1].op, Transpose):
        chain.pop()
    return chain


def _movable(graph: Graph, part: Linear, columns: bool) -> bool:
    """Columns that keep n of m neighbours must stay where they are."""
    structure = graph.constants[part.weight].structure
    return not (columns and structure is not None and structure.pattern is not None)


def _order(graph: Graph, chain: Sequence[Node]) -> Indices:
    """For each element that leaves ``chain``, flattened, which element that enters it is."""
    shape = (1, *graph.value(chain[0].inputs[0]).sample_shape[1:])
    x = torch.arange(math.prod(shape)).reshape(shape)
    for node in chain:
        (x,) = node.op.with_batch(1).evaluate([x])
    return x.reshape(-1).numpy()


def _fold_columns(graph: Graph, part: Linear, chain: Sequence[Node], edits: Edits) -> None:
    start = chain[0].inputs[0]
    columns = np.argsort(_order(graph, chain))
    weight = _permuted(graph, part, edits, columns, axis=1)
    for node in chain:
        edits.nodes[node.name] = []
    flat = part.data
    edits.nodes[chain[-1].name] = [Node(chain[-1].name, Reshape(graph.value(flat).shape), (start,), (flat,))]
    edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(flat, weight, *part.node.inputs[2:]))]


def _fold_rows(graph: Graph, part: Linear, chain: Sequence[Node], edits: Edits) -> None:
    rows = _order(graph, chain)
    inputs = [part.data, _permuted(graph, part, edits, rows, axis=0)]
    if part.bias is not None:
        value = graph.value(part.bias)
        quant = value.quant
        quant = None if quant is None else quant.take(rows)
        inputs.append(edits.constant(edits.replacing(part.bias), graph.array(part.bias)[rows], quant=quant, dtype=value.dtype))
    edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=tuple(inputs))]
    last = chain[-1].outputs[0]
    for node in chain:
        edits.nodes[node.name] = []
    edits.nodes[chain[0].name] = [Node(chain[-1].name, Reshape(graph.value(last).shape), part.node.outputs, (last,))]


def _permuted(graph: Graph, part: Linear, edits: Edits, order: Indices, axis: int) -> str:
    """A new weight: the old one with its indices along ``axis`` in ``order``; scales and structure move along."""
    value, constant = graph.value(part.weight), graph.constants[part.weight]
    structure, quant = constant.structure, value.quant
    if structure is not None:
        mask = None if structure.mask is None else np.take(structure.mask, order, axis)
        codebook = structure.codebook
        if axis == 0 and codebook is not None and codebook.ndim > 1 and len(codebook) == len(order):
            codebook = codebook[order]
        structure = dataclasses.replace(structure, mask=mask, codebook=codebook)
    if quant is not None and quant.axis == axis:
        quant = quant.take(order)
    moved = Constant(np.take(constant.array, order, axis), structure)
    return edits.constant(edits.replacing(part.weight), moved.array, quant=quant, structure=structure, dtype=value.dtype)
