"""Normalizations by the statistics of the sample itself, in the source's axes: over the last axes, over groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, as_reals
from edgewright.frontends.layout_arithmetic import add, mul
from edgewright.frontends.layout_shape import reshape
from edgewright.ir.layout_plan import reordered, trailing
from edgewright.ops.layer_norm import LayerNorm


def layer_norm(door: Door, x: Held, sizes: Sequence[int], scale: Known | None, offset: Known | None, epsilon: float) -> Held:
    """Normalization over the last seen axes, of ``sizes``; scale and offset are of these sizes too."""
    axis = x.layout.rank - len(sizes)
    if axis < 1:
        raise UnsupportedError(f"layer normalization over the axes {list(sizes)}", hint="leave the batch axis out of it")
    if len(sizes) > 1:
        shape = x.layout.shape
        flat = reshape(door, x, (*shape[:axis], math.prod(shape[axis:])))
        y = reshape(door, layer_norm(door, flat, (math.prod(sizes),), None, None, epsilon), shape)
        return _weighted(door, y, scale, offset, sizes)
    parameters = [scale or Known(np.ones(sizes[0], np.float32), "scale"), offset or Known(np.zeros(sizes[0], np.float32), "offset")]
    if x.layout.shape[axis] != sizes[0] or any(known.array.shape != (sizes[0],) for known in parameters):
        raise ModelError(f"{sizes[0]} parameters do not fit an input of shape {list(x.layout.shape)}", hint=INCONSISTENT)
    x = door.bring(x, trailing(x.layout, axis, compact=False))
    seen, held = x.layout.seen[axis], x.layout.held[-1]
    key = tuple(seen.index(atom) for atom in held)
    names = [door.constant(known, reordered(as_reals(known), seen, held), key=key) for known in parameters]
    return Held(door.emit(LayerNorm(epsilon), [x.name, *names]), x.layout)


def group_norm(door: Door, x: Held, groups: int, scale: Known | None, offset: Known | None, epsilon: float) -> Held:
    """Normalization of (N, C, …) over all of a sample's channels of one of ``groups``, then a scale and an offset (C,) for each channel.

    A layer normalization of (N, groups, the rest). Sources: Wu and He 2018 (arXiv:1803.08494); with a group for each channel it is instance
    normalization, Ulyanov, Vedaldi and Lempitsky 2016 (arXiv:1607.08022).
    """
    shape = x.layout.shape
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise ModelError(f"{groups} groups do not divide the channels of an input of shape {list(shape)}", hint=INCONSISTENT)
    size = math.prod(shape[1:]) // groups
    y = reshape(door, layer_norm(door, reshape(door, x, (shape[0], groups, size)), (size,), None, None, epsilon), shape)
    return _weighted(door, y, scale, offset, (shape[1], *(1,) * (len(shape) - 2)))


def _weighted(door: Door, y: Held, scale: Known | None, offset: Known | None, sizes: Sequence[int]) -> Held:
    """``y`` times ``scale`` plus ``offset``, both seen in ``sizes``."""
    for known, apply in ((scale, mul), (offset, add)):
        if known is not None:
            if known.array.size != math.prod(sizes):
                raise ModelError(f"{known.array.size} parameters do not fit an input of shape {list(y.layout.shape)}", hint=INCONSISTENT)
            y = apply(door, y, Known(as_reals(known).reshape(sizes), known.name))
    return y
