"""ONNX's recurrent operators: operator name → conversion."""

from __future__ import annotations

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known
from edgewright.frontends.layout_recurrent import Cell, expect_zeros, last_step, recurrent
from edgewright.frontends.layout_shape import unsqueeze
from edgewright.frontends.onnx_arguments import Arguments, Handler

ORDERS = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}
"""Where ONNX has our gates: its own order is input, output, forget, cell; and update, reset, hidden."""
ACTIVATIONS = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"]}


def _layer(kind: str) -> Handler:
    def handler(door: Door, a: Arguments) -> list[Held | None]:
        _refuse(kind, a)
        weight, matrix = (_only_direction(a.known(index)) for index in (1, 2))
        halves: list[Known | None] = [None, None]
        if a.has(3):
            whole = a.known(3)
            half = whole.array.reshape(-1).size // 2
            halves = [Known(whole.array.reshape(-1)[:half], whole.name), Known(whole.array.reshape(-1)[half:], whole.name)]
        time = 1 if a.integer("layout", 0) else 0
        y = recurrent(door, a.held(0), Cell(kind, weight, matrix, halves[0], halves[1], ORDERS[kind]), time=time)
        last = unsqueeze(last_step(door, y, time=time), [1 if time else 0])
        return [unsqueeze(y, [2 if time else 1]), last, *([None] if kind == "lstm" else [])]

    return handler


def _only_direction(weight: Known) -> Known:
    if weight.array.ndim != 3 or weight.array.shape[0] != 1:
        raise UnsupportedError(f"a recurrent weight of shape {list(weight.array.shape)}", hint="use one direction")
    return Known(weight.array[0], weight.name)


def _refuse(kind: str, a: Arguments) -> None:
    """UnsupportedError for what the plain cell has not."""
    if a.text("direction", "forward") != "forward":
        raise UnsupportedError("a recurrent layer that runs backwards", hint="a device hears a sequence in one direction: use that")
    activations = a.node.attributes.get("activations", ACTIVATIONS[kind])
    if list(activations) != ACTIVATIONS[kind] or "clip" in a.node.attributes or a.integer("input_forget", 0):
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
