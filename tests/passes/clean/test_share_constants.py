from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Level, Structure
from edgewright.ops import Add, Mul
from tests.passes.check import Net, apply, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_equal_constants_are_kept_once(net: Net) -> None:
    x = net.enter("x", (None, 4))
    numbers = net.numbers(4)
    for index in range(3):
        x = net.apply(Add(), [x, net.constant("c", numbers, quant=net.quant())], f"sum{index}")
    after, ctx = apply("share_constants", net.finish([x]))
    assert set(after.constants) == {"c"} and [line.where for line in ctx.lines] == ["c_1", "c_2"]


def test_states_that_start_alike(net: Net) -> None:
    x = net.enter("x", (None, 4))
    zero = np.zeros((1, 4), np.int8 if net.integer else np.float32)
    dtype = DType.INT8 if net.integer else DType.FLOAT32
    total = x
    for index in range(2):
        past = net.state(f"past{index}", (None, 4), net.constant("zero", zero, quant=net.quant()), dtype, net.quant())
        total = net.apply(Add(), [past, total], f"sum{index}")
        net.write_state(past, total)
    after, _ = apply("share_constants", net.finish([total]), calls=3)
    assert set(after.constants) == {"zero"}


def test_types_scales_and_shapes_tell_them_apart(net: Net) -> None:
    x = net.enter("x", (None, 2, 4))
    numbers = net.numbers(4)
    y = net.apply(Mul(), [x, net.constant("a", numbers, quant=net.quant())], "first")
    y = net.apply(Mul(), [y, net.constant("b", numbers.reshape(1, 4), quant=net.quant())], "second")
    if net.integer:
        y = net.apply(Mul(), [y, net.constant("c", numbers, quant=net.quant(0.3, 0))], "third")
    unchanged("share_constants", net.finish([y]))


def test_structure_tells_them_apart(net: Net) -> None:
    y = net.enter("x", (None, 4))
    numbers = net.numbers(4)
    structures = (None, Structure(bits=4), Structure(mask=numbers != 0), Structure(codebook=np.unique(numbers)), Structure(bits=4))
    for index, structure in enumerate(structures):
        y = net.apply(Mul(), [y, net.constant(f"c{index}", numbers, quant=net.quant(), structure=structure)], f"product{index}")
    after, _ = apply("share_constants", net.finish([y]))
    assert set(after.constants) == {"c0", "c1", "c2", "c3"}


def test_zeros_of_two_signs_are_two_constants() -> None:
    net = Net()
    y = net.enter("x", (None, 4))
    for name, zero in (("plus", 0.0), ("minus", -0.0)):
        y = net.apply(Add(), [y, net.constant(name, np.full(4, zero, np.float32))], f"{name}_sum")
    unchanged("share_constants", net.finish([y]))
