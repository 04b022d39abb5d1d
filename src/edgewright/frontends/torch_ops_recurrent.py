"""Torch's recurrent operators: aten name → conversion."""

from __future__ import annotations

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known
from edgewright.frontends.layout_recurrent import GATES, Cell, expect_zeros, last_step, recurrent
from edgewright.frontends.layout_shape import concat, permute, unsqueeze
from edgewright.frontends.torch_arguments import Arguments, Handler

ONE_WAY = "a device hears a sequence in one direction: use that"


def _layers(kind: str) -> Handler:
    def handler(door: Door, a: Arguments) -> list[Held | None]:
        if a.flag("bidirectional"):
            raise UnsupportedError("a recurrent layer in both directions", hint=ONE_WAY)
        states = a.raw("hx")
        for state in states if isinstance(states, (list, tuple)) else [states]:
            expect_zeros(state)
        time = 1 if a.flag("batch_first") else 0
        x, each = a.held("input"), 4 if a.flag("has_biases") else 2
        parameters = a.operands("params")
        if len(parameters) % each or not all(isinstance(item, Known) for item in parameters):
            raise UnsupportedError(f"a recurrent layer with {len(parameters)} parameters", hint="projections are not supported")
        last = []
        for first in range(0, len(parameters), each):
            weights = [item for item in parameters[first : first + each] if isinstance(item, Known)]
            biases = [*weights[2:], None, None][:2]
            x = recurrent(door, x, Cell(kind, weights[0], weights[1], biases[0], biases[1], range(GATES[kind])), time=time)
            last.append(unsqueeze(last_step(door, x, time=time), [1]))
        final = permute(last[0] if len(last) == 1 else concat(door, last, 1), (1, 0, 2))
        return [x, final, None] if kind == "lstm" else [x, final]

    return handler


RECURRENT: dict[str, Handler] = {"aten.lstm.input": _layers("lstm"), "aten.gru.input": _layers("gru")}
