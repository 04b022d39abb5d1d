"""What sliding windows and runs of bytes come to, counted: the parts that the structures of several kernels share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.layer import Parameter, Table

Fields = Mapping[str, Parameter]
Counts = dict[str, float]
"""How often each part of a kernel runs in one call."""
Integers = NDArray[np.int64]


def window_of(fields: Fields) -> dict[str, int]:
    """The fields of ``struct ew_window``."""
    return cast(dict[str, int], fields["window"])


def number(fields: Fields, name: str) -> int:
    """A field that is a number."""
    return int(cast(int, fields[name]))


def numbers(fields: Fields, name: str) -> list[int]:
    """A field that is a row of numbers."""
    return [int(item) for item in cast(Any, fields[name])]


def table(fields: Fields, name: str) -> Integers:
    """The numbers of a constant table."""
    return np.asarray(cast(Table, fields[name]).array).astype(np.int64).reshape(-1)


def starts(window: Mapping[str, int], axis: str) -> Integers:
    """Where the window begins at each output position along ``axis`` ("height" or "width"); negative in the padding."""
    padding = window["padding_top" if axis == "height" else "padding_left"]
    return np.arange(window[f"output_{axis}"], dtype=np.int64) * window[f"stride_{axis}"] - padding


def inside(window: Mapping[str, int], axis: str) -> NDArray[np.bool_]:
    """output position x tap: whether that tap lies within the picture."""
    at = starts(window, axis)[:, None] + np.arange(window[f"kernel_{axis}"]) * window[f"dilation_{axis}"]
    within: NDArray[np.bool_] = (at >= 0) & (at < window[f"input_{axis}"])
    return within


def add(counts: Counts, name: str, times: float) -> None:
    """``times`` more; parts that do not run have no entry."""
    if times:
        counts[name] = counts.get(name, 0.0) + float(times)


def add_run(counts: Counts, name: str, lengths: Integers | int, times: float = 1) -> None:
    """Runs of ``lengths`` bytes, each ``times``: their number, and what loops over blocks, over words and over the rest make of them."""
    run = np.atleast_1d(np.asarray(lengths))
    run = run[run > 0]
    add(counts, name, times * len(run))
    add(counts, f"{name}: sixty-fours", times * (run // 64).sum())
    add(counts, f"{name}: sixteens", times * (run % 64 // 16).sum())
    add(counts, f"{name}: fours", times * (run % 16 // 4).sum())
    add(counts, f"{name}: ones", times * (run % 4).sum())
    add(counts, f"{name}: under sixteen", times * (run < 16).sum())


def add_copies(counts: Counts, name: str, sources: Integers, targets: Integers, lengths: Integers | int, times: float = 1) -> None:
    """Copies by the library: words where the addresses allow, which it tells by their remainders to four; bytes before and after them."""
    sources, targets, run = np.broadcast_arrays(np.asarray(sources) % 4, np.asarray(targets) % 4, np.asarray(lengths))
    whole, alike = (sources == 0) & (targets == 0), sources == targets
    for kind, same in ((f"{name}, aligned", whole), (f"{name}, alike", alike & ~whole), (f"{name}, unlike", ~alike)):
        short, long = run[same & (run > 0) & (run < 16)], same & (run >= 16)
        add(counts, f"{kind}, short", times * short.size)
        add(counts, f"{kind}, short: fours", times * (short // 4).sum())
        add(counts, f"{kind}, short: ones", times * (short % 4).sum())
        add(counts, f"{kind}, short: all", times * short.sum())
        head = -targets[long] % 4
        add(counts, f"{kind}: with a head", times * (head > 0).sum())
        add(counts, f"{kind}: head", times * head.sum())
        add_run(counts, kind, run[long] - head, times)


def add_strided(counts: Counts, name: str, length: int, times: float) -> None:
    """Loops over four steps at a time, and over the rest."""
    add(counts, name, times)
    add(counts, f"{name}: fours", times * (length // 4))
    add(counts, f"{name}: with ones", times * (length % 4 > 0))
    add(counts, f"{name}: ones", times * (length % 4))


def shift_classes(fields: Fields, most_simple: int) -> dict[str, int]:
    """Output channels by the way in which their sums are rescaled: ``simple`` up to the shift ``most_simple``, else by the shift's sign."""
    shift = table(fields, "shift")
    simple = (shift <= most_simple) & bool(number(fields, "simple"))
    rest = shift[~simple]
    found = {"simple": int(simple.sum()), "right": int((rest < 0).sum()), "none": int((rest == 0).sum()), "left": int((rest > 0).sum())}
    return {name: count for name, count in found.items() if count}


def add_shifts(counts: Counts, fields: Fields, times: int) -> None:
    """Each output channel's sums rescaled ``times``, in the way that the sign of its shift asks for."""
    shift = table(fields, "shift")
    for name, which in (("right", shift < 0), ("none", shift == 0), ("left", shift > 0)):
        add(counts, f"rescaled: {name}", times * int(which.sum()))


def bits(value: float) -> float:
    """Binary digits of a quotient: what a division in software takes time by."""
    return float(np.log2(max(value, 1)) + 1)


def sign(shift: int) -> str:
    """The direction of a shift, which chooses the way of rounding."""
    return "left" if shift > 0 else "none" if shift == 0 else "right"
