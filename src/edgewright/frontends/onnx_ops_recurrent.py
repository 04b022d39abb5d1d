"""ONNX's recurrent operators: operator name → conversion."""

from __future__ import annotations

import numpy as np

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known
from edgewright.frontends.layout_recurrent import Cell, expect_zeros, heard, side_by_side
from edgewright.frontends.layout_shape import permute
from edgewright.frontends.onnx_arguments import Arguments, Handler

ORDERS = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}
"""Where ONNX has our gates: its own order is input, output, forget, cell; and update, reset, hidden."""
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Which of them hear the sequence from its end on."""
ACTIVATIONS = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"]}


def _layer(kind: str) -> Handler:
    def handler(door: Door, a: Arguments) -> list[Held | None]:
        _refuse(kind, a)
        ways = DIRECTIONS[a.text("direction", "forward")]
        time = 1 if a.integer("layout", 0) else 0
        steps, ends = [], []
        for way, backwards in enumerate(ways):
            weight, matrix = (_direction(a.known(index), way, len(ways)) for index in (1, 2))
            bias, recurrent_bias = _biases(a.known(3), way, len(ways)) if a.has(3) else (None, None)
            told, end = heard(door, a.held(0), Cell(kind, weight, matrix, bias, recurrent_bias, ORDERS[kind], backwards), time=time)
            steps.append(told)
            ends.append(end)
        y, last = side_by_side(door, steps), side_by_side(door, ends)
        if not time:
            y, last = permute(y, (0, 2, 1, 3)), permute(last, (1, 0, 2))
        return [y, last, *([None] if kind == "lstm" else [])]

    return handler


def _direction(weight: Known, way: int, ways: int) -> Known:
    if weight.array.ndim != 3 or weight.array.shape[0] != ways:
        raise ModelError(f"a recurrent weight of shape {list(weight.array.shape)} for {ways} directions", hint=INCONSISTENT)
    return weight.without_first(way)


def _biases(bias: Known, way: int, ways: int) -> tuple[Known, Known]:
    """Those of the weight and of the recurrent weight, one after the other in each direction."""
    if bias.array.ndim != 2 or bias.array.shape[0] != ways or bias.array.shape[1] % 2:
        raise ModelError(f"a recurrent bias of shape {list(bias.array.shape)} for {ways} directions", hint=INCONSISTENT)
    first, second = np.split(bias.array[way], 2)
    return Known(first, bias.name), Known(second, bias.name)


def _refuse(kind: str, a: Arguments) -> None:
    """UnsupportedError for what the plain cell has not."""
    direction = a.text("direction", "forward")
    if direction not in DIRECTIONS:
        raise UnsupportedError(f"a recurrent layer of direction {direction!r}", hint=f"one of {', '.join(DIRECTIONS)}")
    expected = ACTIVATIONS[kind] * len(DIRECTIONS[direction])
    activations = a.node.attributes.get("activations", expected)
    if list(activations) != expected or "clip" in a.node.attributes or a.integer("input_forget", 0):
        raise UnsupportedError("a recurrent layer with other activations or a clipped cell", hint="use sigmoid and tanh, without clip")
    if kind == "gru" and not a.integer("linear_before_reset", 0):
        raise UnsupportedError("a GRU that resets before its matrix", hint="export it with linear_before_reset=1, as torch does")
    if a.has(4) and len(set(a.constants(4))) > 1:
        raise UnsupportedError("a recurrent layer over sequences of unequal length", hint="use one length")
    for index in (5, 6) if kind == "lstm" else (5,):
        if a.has(index):
            expect_zeros(a.operand(index))
    if kind == "lstm" and a.has(7):
        raise UnsupportedError("a recurrent layer with peepholes", hint="use the plain cell")


RECURRENT: dict[str, Handler] = {"LSTM": _layer("lstm"), "GRU": _layer("gru")}
