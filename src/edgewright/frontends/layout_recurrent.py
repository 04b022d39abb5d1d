"""Recurrent operators in the source's axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand, as_reals
from edgewright.frontends.layout_shape import concat, reshape, reverse, select, unsqueeze
from edgewright.ir.dtype import Quant
from edgewright.ir.layout import Atom, Layout
from edgewright.ir.operator import Operator
from edgewright.ops.gru import GRU
from edgewright.ops.lstm import LSTM

GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Cell:
    """The weights of one layer in the source's order of gates, and which of its blocks of rows our operator has at each place.

    ``backwards``: it hears the sequence from its end on.
    """

    kind: str
    weight: Known
    recurrent: Known
    bias: Known | None
    recurrent_bias: Known | None
    order: Sequence[int]
    backwards: bool = False


def heard(door: Door, x: Held, cell: Cell, *, time: int) -> tuple[Held, Held]:
    """The hidden state after each step, in the order of time, and after the last step that ``cell`` hears (without the axis of time)."""
    if not cell.backwards:
        y = recurrent(door, x, cell, time=time)
        return y, select(door, y, time, y.layout.shape[time] - 1)
    y = reverse(door, recurrent(door, reverse(door, _in_order(door, x, time), [time]), cell, time=time), [time])
    return y, select(door, y, time, 0)


def side_by_side(door: Door, told: list[Held]) -> Held:
    """What directions gave, with an axis of them before that of the units: so they lie in memory for the next layer."""
    rank = told[0].layout.rank
    if len(told) == 1:
        return unsqueeze(told[0], [rank - 1])
    units = told[0].layout.shape[-1]
    together = concat(door, told, rank - 1)
    return reshape(door, together, (*together.layout.shape[:-1], len(told), units))


def recurrent(door: Door, x: Held, cell: Cell, *, time: int) -> Held:
    """The hidden state after each step of ``x``, which has the batch and the time at seen axes 0 and 1, ``time`` says which is the time."""
    x, batch = _in_order(door, x, time), 1 - time
    seen = x.layout.seen
    gates = GATES[cell.kind]
    units = cell.recurrent.array.shape[-1]
    expected = [(gates * units, x.layout.shape[2]), (gates * units, units)]
    if [weight.array.shape for weight in (cell.weight, cell.recurrent)] != expected:
        shapes = [list(weight.array.shape) for weight in (cell.weight, cell.recurrent)]
        raise ModelError(f"weights of shapes {shapes} do not fit an input of shape {list(x.layout.shape)}", hint=INCONSISTENT)
    matrices = [_in_our_order(weight.per_output(), cell.order) for weight in (cell.weight, cell.recurrent)]
    zeros = np.zeros(gates * units, np.float32)
    biases = [zeros if bias is None else _reordered(as_reals(bias).reshape(-1), cell.order) for bias in (cell.bias, cell.recurrent_bias)]
    op: Operator = GRU() if cell.kind == "gru" else LSTM()
    constants = [*(biases if cell.kind == "gru" else [biases[0] + biases[1]])]
    sources = (cell.bias or cell.weight, cell.recurrent_bias or cell.recurrent)
    names = [door.constant(weight) for weight in matrices]
    names += [door.constant(Known(array, source.name)) for array, source in zip(constants, sources, strict=False)]
    group = (Atom(units),) if units != 1 else ()
    axes = (seen[batch], seen[time], group)
    return Held(door.emit(op, [x.name, *names]), Layout((axes[1], axes[0], group) if time == 0 else axes, axes))


def _in_order(door: Door, x: Held, time: int) -> Held:
    """``x`` held as batch, time, numbers."""
    if x.layout.rank != 3:
        raise UnsupportedError(f"a recurrent layer over an input with {x.layout.rank} axes", hint="give the network a batch axis")
    seen = x.layout.seen
    return door.bring(x, (seen[1 - time], seen[time], seen[2]))


def _in_our_order(weight: Known, order: Sequence[int]) -> Known:
    """A weight with one scale a row, or none, and both in the order of our gates."""
    quant = weight.quant
    if quant is not None:
        scales = _reordered(np.asarray(quant.scale, np.float32), order)
        quant = Quant(quant.dtype, tuple(scales.tolist()), quant.zero_point, 0)
    return Known(_reordered(as_reals(weight), order), weight.name, quant)


def _reordered(array: NDArray[np.float32], order: Sequence[int]) -> NDArray[np.float32]:
    """Blocks of rows in another order."""
    blocks = array.reshape(len(order), -1, *array.shape[1:])
    return np.ascontiguousarray(blocks[list(order)].reshape(array.shape))


def expect_zeros(state: Operand | None) -> None:
    """UnsupportedError unless a layer starts from zeros."""
    if state is not None and (isinstance(state, Held) or np.any(state.array)):
        raise UnsupportedError("a recurrent layer that starts from another state than zeros", hint="call it without an initial state")
