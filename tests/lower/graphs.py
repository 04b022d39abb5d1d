"""Integer graphs for the tests of lowering: every way in which memory is shared."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.pad import Pad
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice

QUANT = Quant.per_tensor(0.1, 0)


class IntegerBuilder:
    """GraphBuilder at the integer level with one quantization everywhere; batch 1 unless ``batch`` says otherwise."""

    def __init__(self, name: str = "net", batch: int | None = 1) -> None:
        self.builder = GraphBuilder(name, Level.INTEGER)
        self.batch = batch

    def input(self, name: str, *shape: int) -> str:
        return self.builder.input(name, (self.batch, *shape), DType.INT8, QUANT)

    def state(self, name: str, *shape: int, initial_value: int = 0) -> str:
        initial = self.builder.constant(f"{name}_initial", np.full((1, *shape), initial_value, np.int8), quant=QUANT)
        return self.builder.state(name, (1, *shape), initial, DType.INT8, QUANT)

    def write(self, state: str, value: str) -> None:
        self.builder.write_state(state, value)

    def node(self, op: Operator, *inputs: str, name: str = "") -> str:
        return self.builder.node(op, inputs, name=name, dtype=DType.INT8, quants=[QUANT])

    def shape(self, name: str) -> tuple[int | None, ...]:
        return self.builder.value(name).shape

    def finish(self, outputs: Sequence[str]) -> Graph:
        return verify(self.builder.finish(outputs))


def random_graph(seed: int) -> Graph:
    """Twelve nodes at random over up to three values: in place, views, joins, parts, several readers, outputs that others read, a state."""
    pick = random.Random(seed)
    b = IntegerBuilder(f"random{seed}")
    live = [b.input("x", 4, 4, 2)]
    if pick.random() < 0.4:
        live.append(b.input("second", 4, 4, 2))
    state = b.state("memory", 4, 4, 2) if pick.random() < 0.5 else None
    if state is not None:
        live.append(state)
    for _ in range(12):
        live.append(_random_node(b, pick, live))
    outputs = [live[-1], *pick.sample(live[1:-1], pick.randint(0, 2))]
    if state is not None:
        same = [name for name in live if b.shape(name) == b.shape(state)]
        b.write(state, pick.choice(same))
    return b.finish(list(dict.fromkeys(outputs)))


def _random_node(b: IntegerBuilder, pick: random.Random, live: list[str]) -> str:
    x = pick.choice(live[-4:])
    shape = b.shape(x)
    choice = pick.choice(("relu", "relu", "reshape", "add", "concat", "slice", "pad", "pool"))
    if choice == "reshape":
        elements = int(np.prod(shape[1:], dtype=int))
        return b.node(Reshape((1, 4, 4, elements // 16) if len(shape) == 2 and elements % 16 == 0 else (1, elements)), x)
    partners = [name for name in live if b.shape(name) == shape]
    if choice == "add":
        return b.node(Add(), x, pick.choice(partners))
    if choice == "concat":
        return b.node(Concat(len(shape) - 1), x, pick.choice(partners))
    if choice == "slice" and (shape[-1] or 0) >= 2:
        half = (*shape[:-1], (shape[-1] or 0) // 2)
        return b.node(Slice((0,) * len(shape), half, (1,) * len(shape)), x)
    if choice == "pad":
        return b.node(Pad(((0, 0),) * (len(shape) - 1) + ((1, 1),)), x)
    if choice == "pool" and len(shape) == 4:
        return b.node(MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))), x)
    return b.node(Relu(), x)
