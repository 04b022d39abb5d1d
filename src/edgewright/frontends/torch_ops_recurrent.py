"""Torch's recurrent operators: aten name → conversion."""

from __future__ import annotations

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known
from edgewright.frontends.layout_recurrent import GATES, Cell, expect_zeros, heard, side_by_side
from edgewright.frontends.layout_shape import concat, permute
from edgewright.frontends.torch_arguments import Arguments, Handler


def _layers(kind: str) -> Handler:
    def handler(door: Door, a: Arguments) -> list[Held | None]:
        states = a.raw("hx")
        for state in states if isinstance(states, (list, tuple)) else [states]:
            expect_zeros(state)
        time = 1 if a.flag("batch_first") else 0
        x, each, ways = a.held("input"), 4 if a.flag("has_biases") else 2, 2 if a.flag("bidirectional") else 1
        parameters = a.operands("params")
        if len(parameters) % (ways * each) or not all(isinstance(item, Known) for item in parameters):
            raise UnsupportedError(f"a recurrent layer with {len(parameters)} parameters", hint="projections are not supported")
        last = []
        for first in range(0, len(parameters), ways * each):
            told, ends = [], []
            for way in range(ways):
                start = first + way * each
                weights = [item for item in parameters[start : start + each] if isinstance(item, Known)]
                biases = [*weights[2:], None, None][:2]
                cell = Cell(kind, weights[0], weights[1], biases[0], biases[1], range(GATES[kind]), backwards=way == 1)
                steps, end = heard(door, x, cell, time=time)
                told.append(steps)
                ends.append(end)
            last.append(side_by_side(door, ends))
            x = told[0] if ways == 1 else concat(door, told, 2)
        final = permute(last[0] if len(last) == 1 else concat(door, last, 1), (1, 0, 2))
        return [x, final, None] if kind == "lstm" else [x, final]

    return handler


RECURRENT: dict[str, Handler] = {"aten.lstm.input": _layers("lstm"), "aten.gru.input": _layers("gru")}
