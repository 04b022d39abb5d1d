"""The obvious checker of a tiled program: what outlives a strip stays in place, and the schedule run on arena bytes gives the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph, Node
from edgewright.lower.memory import MemoryPlan
from edgewright.lower.tile import Loop
from edgewright.ops.tile import AppendRows, CloseLoop, FillBorder, KeepRows, OpenLoop, PutTile, Span, TakeTile

if TYPE_CHECKING:
    from edgewright.lower.program import Program


def check_loops(graph: Graph, plan: MemoryPlan, loops: Sequence[Loop]) -> None:
    """ModelError where a loop's picture or kept rows change their place on the way, or a strip reads what another may have spoiled.

    Every strip runs the same nodes, so a body that was checked once holds for all, if what it takes from before is what lives throughout:
    the values that OpenLoop makes, and what CloseLoop still reads.
    """
    for loop in loops:
        opened, closed = graph.nodes[loop.first - 1], graph.nodes[loop.last + 1]
        if not isinstance(opened.op, OpenLoop) or not isinstance(closed.op, CloseLoop):
            raise ModelError(f"loop {loop.name!r} does not lie between its ends")
        body = graph.nodes[loop.first : loop.last + 1]
        made = {name for node in body for name in node.outputs}
        outside = {name for node in body for name in node.inputs if name not in made and not graph.is_constant(name)}
        if lost := outside - {*opened.outputs, *closed.inputs}:
            raise ModelError(f"loop {loop.name!r} reads {sorted(lost)[0]!r}, which need not stand until its end")
        for node in body:
            in_place = isinstance(node.op, AppendRows | PutTile | KeepRows | FillBorder)
            if in_place and plan.offset(node.inputs[0]) != plan.offset(node.outputs[0]):
                raise ModelError(f"memory plan: {node.name!r} should work in place, from strip to strip")


def run_tiled(program: Program, sample: NDArray[np.int8]) -> list[NDArray[np.generic]]:
    """The outputs for one sample of the one input, computed as the schedule says, on the bytes of an arena that starts as rubbish."""
    graph, plan = program.executed, program.plan
    arena = np.random.default_rng(0).integers(-128, 128, plan.arena_bytes).astype(np.int8)
    machine = _Machine(graph, plan, arena, sample)
    if not program.streamed:
        machine.view(graph.inputs[0])[...] = sample
    position = 0
    while position < len(graph.nodes):
        loop = next((loop for loop in program.loops if loop.first == position), None)
        if loop is None:
            machine.run(graph.nodes[position], 0, 0)
            position += 1
            continue
        for band in range(loop.bands):
            for strip in range(loop.start, loop.stop):
                for node in graph.nodes[loop.first : loop.last + 1]:
                    low, high = loop.active.get(node.name, (strip, strip))
                    if low <= strip <= high:
                        machine.run(node, strip, band)
        position = loop.last + 1
    return [machine.view(name).copy() for name in graph.outputs]


class _Machine:
    """Runs nodes on ``arena``, with the operators' own integer evaluation."""

    def __init__(self, graph: Graph, plan: MemoryPlan, arena: NDArray[np.int8], picture: NDArray[np.int8]) -> None:
        self.graph, self.plan, self.arena, self.picture = graph, plan, arena, picture

    def view(self, name: str) -> NDArray[np.generic]:
        value = self.graph.value(name)
        start = self.plan.offset(name)
        return self.arena[start : start + value.bytes].view(value.dtype.numpy).reshape(value.sample_shape)

    def read(self, name: str) -> NDArray[np.generic]:
        return self.graph.array(name) if self.graph.is_constant(name) else self.view(name)

    def run(self, node: Node, strip: int, band: int) -> None:
        op = node.op
        if isinstance(op, OpenLoop | CloseLoop):
            return
        target = self.view(node.outputs[0])
        if isinstance(op, TakeTile):
            picture = self.read(node.inputs[0]) if node.inputs else self.picture
            target[...] = _window(picture, op.rows.first(strip), op.columns.first(band), target.shape, op.fill)
        elif isinstance(op, FillBorder):
            for row in range(target.shape[1]):
                for column in range(target.shape[2]):
                    if not (0 <= op.rows.first(strip) + row < op.height and 0 <= op.columns.first(band) + column < op.width):
                        target[:, row, column] = op.fill
        elif isinstance(op, PutTile):
            _put(target, self.read(node.inputs[1]), op.rows, op.columns, strip, band)
        elif isinstance(op, AppendRows):
            fresh = self.read(node.inputs[1])
            target[...] = np.concatenate([self.read(node.inputs[0])[:, fresh.shape[1] :], fresh], axis=1)
        elif isinstance(op, KeepRows):
            target[...] = self.read(node.inputs[1])[:, -target.shape[1] :]
        else:
            tensors = [torch.from_numpy(self.read(name).astype(np.int32)) for name in node.inputs]
            results = op.evaluate_integer(tensors, self.graph.ins(node), self.graph.outs(node))
            for name, result in zip(node.outputs, results, strict=True):
                self.view(name)[...] = result.numpy()


def _window(picture: NDArray[np.generic], top: int, left: int, shape: tuple[int, ...], fill: int) -> NDArray[np.generic]:
    """The part of ``picture`` of ``shape`` at (top, left)."""
    part = np.full(shape, fill, picture.dtype)
    for row in range(shape[1]):
        for column in range(shape[2]):
            if 0 <= top + row < picture.shape[1] and 0 <= left + column < picture.shape[2]:
                part[:, row, column] = picture[:, top + row, left + column]
    return part


def _put(picture: NDArray[np.generic], part: NDArray[np.generic], rows: Span, columns: Span, strip: int, band: int) -> None:
    for row in range(part.shape[1]):
        for column in range(part.shape[2]):
            y, x = rows.first(strip) + row, columns.first(band) + column
            if 0 <= y < picture.shape[1] and 0 <= x < picture.shape[2]:
                picture[:, y, x] = part[:, row, column]
