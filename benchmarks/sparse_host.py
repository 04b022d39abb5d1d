"""1x1 convolutions with random zeros on this computer: the kernel for sparse weights against our dense one, by share of zeros.

The layers are those of MobileNetV2 1.0 at 224. The two stand ready in one process and take turns; a ratio is the median over the turns,
"all" the geometric mean of the layers. The last row is what `sparse_share` of the target comes from: the largest share of weights that are
not 0 at which no layer is slower.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.host_speed import generated, take_turns
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import make_program
from edgewright.ops.conv2d import Conv2D
from edgewright.targets.target import load_target

LAYERS = ((112, 16, 96), (56, 24, 144), (56, 144, 24), (28, 32, 192), (28, 192, 32), (14, 96, 576), (14, 576, 96), (7, 960, 160))
"""Side of the picture, input and output channels."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TURNS = 15
TURN_SECONDS = 0.005


def rows() -> list[dict[str, object]]:
    """One row a layer: how many times faster the sparse kernel is, for each share of zeros; the mean and the least of all at the end."""
    found: list[dict[str, object]] = []
    for side, inputs, outputs in LAYERS:
        row: dict[str, object] = {"layer": f"{side} x {side}, {inputs} to {outputs}"}
        row |= {f"{share:.0%} zeros": round(_ratio(_layer(side, inputs, outputs, share)), 2) for share in SHARES}
        found.append(row)
    ratios = {name: [float(str(row[name])) for row in found] for name in (f"{share:.0%} zeros" for share in SHARES)}
    mean = {name: round(statistics.geometric_mean(own), 2) for name, own in ratios.items()}
    least = {name: min(own) for name, own in ratios.items()}
    won = [1 - share for share, own in zip(SHARES, least.values(), strict=True) if own >= 1]
    return [*found, {"layer": "all", **mean}, {"layer": f"least of these: sparse_share {max(won, default=0):.2g}", **least}]


def _layer(side: int, inputs: int, outputs: int, share: float) -> Graph:
    rng = np.random.default_rng(0)
    b = GraphBuilder("layer", Level.INTEGER)
    x = b.input("x", (None, side, side, inputs), DType.INT8, Quant.per_tensor(0.05, -3))
    weight = rng.integers(-127, 128, (outputs, 1, 1, inputs)) * (rng.random((outputs, 1, 1, inputs)) >= share)
    w = b.constant("w", weight.astype(np.int8), quant=Quant.per_axis(np.full(outputs, 0.003, np.float32), 0))
    return b.finish([b.node(Conv2D((1, 1), ((0, 0), (0, 0))), [x, w], dtype=DType.INT8, quants=[Quant.per_tensor(0.3, 5)])])


def _ratio(graph: Graph) -> float:
    """The time of the dense kernel over that of the sparse one."""
    host = load_target("host")
    x = np.random.default_rng(1).integers(-128, 128, (1, *(size or 1 for size in graph.value("x").shape[1:]))).astype(np.int8)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        candidates = {}
        for share in (0.0, 1.0):
            folder = Path(name) / str(share)
            folder.mkdir()
            candidates[str(share)] = generated(make_program(graph, host.model_copy(update={"sparse_share": share})), x, folder)
        turns = take_turns(candidates, TURNS, TURN_SECONDS)
    return float(np.median(turns["0.0"] / turns["1.0"]))
