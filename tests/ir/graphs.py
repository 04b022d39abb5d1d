"""A small graph for the tests of this room, and ways to break it."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Constant, Graph, Level, Structure, Value
from edgewright.ops import Add, Conv2D, Dense, Mean, Mul, Relu


def float_graph() -> Graph:
    """x → conv → relu → (+ conv) → mean → head, with a state that is multiplied in; the weight carries a structure."""
    rng = np.random.default_rng(0)
    build = GraphBuilder("small")
    x = build.input("x", (None, 4, 4, 2))
    weight = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    structure = Structure(mask=weight > 0, pattern=(2, 4), codebook=np.float32([[0.0, 1.0]]), bits=4)
    y = build.node(
        Conv2D(padding=((1, 1), (1, 1))),
        [x, build.constant("weight", weight, structure=structure), build.constant("bias", np.zeros(3, np.float32))],
        name="conv",
    )
    summed = build.node(Add(), [build.node(Relu(), [y], name="relu"), y], name="add")
    mean = build.node(Mean((1, 2)), [summed], name="mean")
    build.state("past", (None, 3), build.constant("start", np.ones((1, 3), np.float32)))
    mixed = build.node(Mul(), [mean, "past"], name="mixed")
    build.write_state("past", mixed)
    return build.finish([build.node(Dense(), [mixed, build.constant("head_weight", np.eye(3, dtype=np.float32))], name="head")])


def integer_graph() -> Graph:
    """One dense layer of integers."""
    build = GraphBuilder("integers", Level.INTEGER)
    x = build.input("x", (None, 2), DType.INT8, Quant.per_tensor(0.5, 3))
    weight = build.constant("weight", np.array([[1, 2], [3, 4], [5, 6]], np.int8), quant=Quant.per_axis(np.float32([0.1, 0.2, 0.3]), 0))
    return build.finish([build.node(Dense(), [x, weight], name="y", quants=[Quant.per_tensor(1.0, 0)])])


def with_value(graph: Graph, name: str, **changes: object) -> Graph:
    """``graph`` with one value changed and nothing adapted to it."""
    value: Value = dataclasses.replace(graph.values[name], **changes)
    return dataclasses.replace(graph, values={**graph.values, name: value})


def with_constant(graph: Graph, name: str, array: np.ndarray) -> Graph:
    return dataclasses.replace(graph, constants={**graph.constants, name: Constant(array)})
