"""Break-even sparsity of the kernels that pass over zeros, against the dense kernels of the same core: instructions counted in QEMU.

The instructions of a sparse kernel are linear in what is not zero, so two densities give the line. An entry takes two bytes: in flash a
layer of int8 wins below one half, of int4 below one quarter.
"""

from __future__ import annotations

import numpy as np

import edgewright
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level, Structure
from edgewright.lower.program import make_program
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.targets.target import Target, load_target

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m55")
LAYERS = {
    "dense 512 → 64": (512, (64, 512)),
    "1x1 convolution, 8x8x64 → 64": (64, (64, 1, 1, 64)),
    "3x3 convolution, 8x8x32 → 32": (32, (32, 3, 3, 32)),
}
DENSITIES = (0.1, 0.4)
SIDE = 8
ANY = 1e9
"""A share with which every pruned layer counts as sparse."""


def rows() -> list[dict[str, object]]:
    """A row for each core and layer."""
    found: list[dict[str, object]] = []
    for core in CORES:
        target = load_target(core)
        for name in LAYERS:
            dense = _instructions(_layer(name, 1.0), target, 0.0)
            sparse = [_instructions(_layer(name, density), target, ANY) for density in DENSITIES]
            slope = (sparse[1] - sparse[0]) / (DENSITIES[1] - DENSITIES[0])
            even = (dense - sparse[0]) / slope + DENSITIES[0]
            found.append({"core": core, "layer": name, "dense": dense, **dict(zip(("10 % left", "40 % left"), sparse, strict=True)),
                          "break-even sparsity": f"{100 * (1 - even):.0f} %" if even > 0 else "never",
                          "at 90 % zeros": f"{dense / sparse[0]:.2f}x as fast"})
    return found


def _layer(name: str, density: float) -> Graph:
    """One integer layer, of whose weights exactly ``density`` are not zero."""
    channels, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    b = GraphBuilder("layer", Level.INTEGER)
    size = int(np.prod(shape))
    weight = rng.choice([-1, 1], size) * rng.integers(1, 128, size)
    weight[rng.permutation(size)[round(density * size) :]] = 0
    array = weight.reshape(shape).astype(np.int8)
    quant = Quant.per_axis(np.full(shape[0], 0.004, np.float32), 0)
    w = b.constant("w", array, quant=quant, structure=Structure(mask=array != 0))
    bias = b.constant("b", rng.integers(-500, 500, shape[0]).astype(np.int32))
    scale = Quant.per_tensor(0.05, 3)
    if len(shape) == 2:
        x = b.input("x", (None, channels), quant=scale, dtype=scale.dtype)
        return b.finish([b.node(Dense(), [x, w, bias], quants=[Quant.per_tensor(0.3)])])
    x = b.input("x", (None, SIDE, SIDE, channels), quant=scale, dtype=scale.dtype)
    pad = shape[1] // 2
    return b.finish([b.node(Conv2D(padding=((pad, pad), (pad, pad))), [x, w, bias], quants=[Quant.per_tensor(0.3)])])


def _instructions(graph: Graph, target: Target, share: float) -> int:
    program = make_program(graph, target.model_copy(update={"sparse_share": share}))
    shape = graph.value(graph.inputs[0]).shape[1:]
    inputs = np.random.default_rng(1).integers(-128, 128, (1, *[int(axis or 1) for axis in shape])).astype(np.int8)
    run = edgewright.measure(program, [inputs])
    assert run.instructions_per_inference is not None
    return run.instructions_per_inference
