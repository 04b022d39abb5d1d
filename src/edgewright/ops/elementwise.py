"""What Add, Sub and Mul share: numpy broadcasting, and what it means for pruning, tiling and memory."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.errors import ModelError
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window


def broadcast_shape(op: Operator, inputs: Sequence[Value]) -> Shape:
    """The shape that numpy broadcasting gives; a symbolic batch goes with 1 and with itself only."""
    rank = max(value.rank for value in inputs)
    result: list[int | None] = []
    for axis in range(rank):
        sizes = {value.shape[axis - rank + value.rank] for value in inputs if axis - rank + value.rank >= 0} - {1}
        if len(sizes) > 1:
            raise ModelError(f"{op.kind}: shapes {' and '.join(str(value.shape) for value in inputs)} do not broadcast",
                             hint="the model is inconsistent; check how it was exported")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def broadcast_couplings(ins: Sequence[Value], out: Value) -> tuple[Coupling, ...]:
    """Every axis but the batch, of every input that is not broadcast along it, lives and dies with the output's axis."""
    found = []
    for index, value in enumerate(ins):
        for axis in range(1, out.rank):
            own = axis - out.rank + value.rank
            if own >= 0 and value.shape[own] == out.shape[axis]:
                found.append(Coupling(Axis("in", index, own), Axis("out", 0, axis)))
    return tuple(found)


def broadcast_window(ins: Sequence[Value]) -> Window | None:
    """1x1, or None where an activation (it has a symbolic batch) is spread over the spatial axes."""
    rank = max(value.rank for value in ins)
    spatial = {value.shape[1:3] for value in ins if value.rank == rank and value.shape[0] is None}
    return Window() if len(spatial) <= 1 else None


def broadcast_in_place(ins: Sequence[Value], out: Value) -> tuple[int, ...]:
    """Inputs as large as the output: each element is read when its successor is written."""
    return tuple(index for index, value in enumerate(ins) if value.shape == out.shape and value.dtype.bits == out.dtype.bits)
