"""Widths for weights and activations at once: the selection that loses least within bytes and time, as a mixed-integer program.

Layers that stand beside each other are coupled: an activation is wide where all that make and read it are, and where they differ a
conversion takes time. So the independent choices of the knapsack do not do; the coupling is linear, and HiGHS (Huangfu and Hall 2018,
doi:10.1007/s12532-017-0130-5) solves the program to a proved gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

GAP = 1e-4
"""Of the loss: what is proved of a selection, unless time runs out."""
MOST_SECONDS = 20.0
THRIFT = 1e-6
"""Of the greatest loss: what all the time and all the bytes weigh, so that nothing is spent where it gains nothing."""


@dataclass(frozen=True)
class Choice:
    """One way to compute a layer: bytes of weights, time, what the outputs lose by it, and whether it takes and gives wide activations."""

    bytes: float = 0.0
    time: float = 0.0
    loss: float = 0.0
    wide: bool = False


@dataclass(frozen=True)
class Activation:
    """Numbers that pass between ``layers``: ``loss`` is what the outputs lose where not all of these are wide."""

    loss: float
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Bridge:
    """A value of layer ``maker``: where any of ``readers`` is of another width, a conversion takes ``time``."""

    time: float
    maker: int
    readers: tuple[int, ...]


@dataclass(frozen=True)
class WidthProgram:
    """All that can be chosen; layers are numbers."""

    layers: tuple[tuple[Choice, ...], ...]
    activations: tuple[Activation, ...] = ()
    bridges: tuple[Bridge, ...] = ()

    def judged(self, picks: Sequence[int], gap: float = 0.0) -> Widths:
        """The selection ``picks`` with its sums."""
        chosen = [choices[pick] for choices, pick in zip(self.layers, picks, strict=True)]
        loss = sum(choice.loss for choice in chosen)
        loss += sum(known.loss for known in self.activations if not all(chosen[layer].wide for layer in known.layers))
        time = sum(choice.time for choice in chosen)
        time += sum(known.time for known in self.bridges if any(chosen[known.maker].wide != chosen[other].wide for other in known.readers))
        return Widths(tuple(picks), sum(choice.bytes for choice in chosen), time, loss, gap)

    def wide_layers(self, widths: Widths) -> frozenset[int]:
        return frozenset(layer for layer, pick in enumerate(widths.picks) if self.layers[layer][pick].wide)


@dataclass(frozen=True)
class Widths:
    """``picks``: which choice of each layer. ``gap``: no selection loses less than (1 - gap) times ``loss``, up to rounding."""

    picks: tuple[int, ...]
    bytes: float
    time: float
    loss: float
    gap: float = 0.0


def best_widths(
    program: WidthProgram, most_bytes: float = np.inf, most_time: float = np.inf, never: Sequence[frozenset[int]] = ()
) -> Widths | None:
    """The selection that loses least within ``most_bytes`` and ``most_time``; None where there is none.

    ``never``: sets of layers of which not all may be wide. Of equals, a quick and small one is taken.
    """
    form = _Form(program)
    form.at_most(form.bytes, most_bytes)
    form.at_most(form.times, most_time)
    for layers in never:
        form.at_most(sum((form.wide(layer) for layer in layers), np.zeros(form.size)), len(layers) - 1.0)
    found = form.solve()
    if found is None:
        return None
    picks, gap = found
    return program.judged(picks, gap)


class _Form:
    """Columns: one binary a choice, one number from 0 to 1 an activation (it is wide) and a bridge (it is there)."""

    def __init__(self, program: WidthProgram) -> None:
        self.program = program
        counts = [len(choices) for choices in program.layers]
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self.binaries = int(self.starts[-1])
        self.size = self.binaries + len(program.activations) + len(program.bridges)
        self.bytes, self.times, self.losses = (self._sums(name) for name in ("bytes", "time", "loss"))
        first = self.binaries + len(program.activations)
        self.losses[self.binaries : first] = [-known.loss for known in program.activations]
        self.times[first:] = [known.time for known in program.bridges]
        self.rows: list[NDArray[np.float64]] = []
        self.tops: list[float] = []
        for index, known in enumerate(program.activations):
            for layer in known.layers:
                self.at_most(self._unit(self.binaries + index) - self.wide(layer), 0.0)
        for index, bridge in enumerate(program.bridges):
            for reader in bridge.readers:
                apart = self.wide(bridge.maker) - self.wide(reader)
                for side in (apart, -apart):
                    self.at_most(side - self._unit(first + index), 0.0)

    def _sums(self, name: str) -> NDArray[np.float64]:
        row = np.zeros(self.size)
        row[: self.binaries] = [getattr(choice, name) for choices in self.program.layers for choice in choices]
        return row

    def _unit(self, column: int) -> NDArray[np.float64]:
        row = np.zeros(self.size)
        row[column] = 1.0
        return row

    def wide(self, layer: int) -> NDArray[np.float64]:
        """The row that is 1 where ``layer`` is wide."""
        row = np.zeros(self.size)
        row[self.starts[layer] : self.starts[layer + 1]] = [float(choice.wide) for choice in self.program.layers[layer]]
        return row

    def at_most(self, row: NDArray[np.float64], top: float) -> None:
        """``row`` times the columns is at most ``top``; rows of large numbers are scaled, as the solver's tolerance is absolute."""
        if np.isfinite(top):
            unit = max(1.0, float(np.abs(row).max(initial=0.0)))
            self.rows.append(row / unit)
            self.tops.append(top / unit)

    def solve(self) -> tuple[tuple[int, ...], float] | None:
        """Picks and gap."""
        price = self.losses / max(float(np.abs(self.losses).max()), 1e-300)
        for row in (self.times, self.bytes):
            price = price + THRIFT * row / max(float(row.sum()), 1e-300)
        one = np.zeros((len(self.program.layers), self.size))
        for layer in range(len(one)):
            one[layer, self.starts[layer] : self.starts[layer + 1]] = 1.0
        limits = [LinearConstraint(coo_array(one), 1.0, 1.0)]
        if self.rows:
            limits.append(LinearConstraint(coo_array(np.stack(self.rows)), -np.inf, np.asarray(self.tops)))
        integral = (np.arange(self.size) < self.binaries).astype(int)
        options = {"mip_rel_gap": GAP, "time_limit": MOST_SECONDS}
        found = milp(price, integrality=integral, bounds=Bounds(0.0, 1.0), constraints=limits, options=options)
        if found.x is None:
            return None
        picks = [int(found.x[self.starts[layer] : self.starts[layer + 1]].argmax()) for layer in range(len(one))]
        return tuple(picks), float(found.mip_gap or 0.0)
