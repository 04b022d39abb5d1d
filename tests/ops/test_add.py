from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.add import Add
from tests.ops.pairs import every_pair, random_pair
from tests.ops.tflm import ACTIVATIONS, compare, random_activation


def add_options(op: Add) -> schema.AddOptionsT:
    options = schema.AddOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(6)
    for _ in range(150):
        op = Add(random_activation(rng))
        operands, quant = random_pair(rng)
        compare(op, schema.BuiltinOperator.ADD, add_options(op), operands, quant)


def test_every_pair_of_int8_is_that_of_tflm(needs_tflite_micro: None) -> None:
    """So many elements that the sums are looked up; the random ones above are computed."""
    rng = np.random.default_rng(7)
    for _ in range(10):
        op = Add(random_activation(rng))
        operands, quant = every_pair(rng)
        compare(op, schema.BuiltinOperator.ADD, add_options(op), operands, quant)


def test_broadcasting_and_float_form() -> None:
    x, y = torch.randn(2, 1, 3, 4), torch.randn(3, 1)
    torch.testing.assert_close(Add("relu").evaluate([x, y])[0], torch.relu(x + y))
    assert Add().infer([Value("x", (None, 1, 3, 4)), Value("y", (5, 1, 1))]) == ((None, 5, 3, 4),)
    assert Add().infer([Value("x", (1, 3)), Value("y", (None, 3))]) == ((None, 3),)


@pytest.mark.parametrize(("first", "second"), [((None, 3), (None, 4)), ((None, 3), (2, 3)), ((None, 4, 3), (3, 3))])
def test_shapes_that_do_not_broadcast_are_an_error(first: tuple[int | None, ...], second: tuple[int | None, ...]) -> None:
    with pytest.raises(ModelError, match="do not broadcast"):
        Add().infer([Value("x", first), Value("y", second)])


def test_an_output_scale_that_is_too_small_is_an_error() -> None:
    ins = [Value("x", (1, 2), quant=Quant.per_tensor(1.0)), Value("y", (1, 2), quant=Quant.per_tensor(1.0))]
    with pytest.raises(ModelError, match="too small for the sum of scales"):
        Add().multipliers(ins, [Value("z", (1, 2), quant=Quant.per_tensor(1e-6))])


def test_facts() -> None:
    full, gate, per_channel, whole = (
        Value("x", (None, 5, 6, 4)), Value("g", (None, 1, 1, 4)), Value("c", (4,)), Value("w", (None, 5, 6, 1)))
    op = Add()
    assert op.macs([full, full], [full]) == 0
    assert op.window([full, full]) == op.window([full, per_channel]) == op.window([full, whole]) == Window()
    assert op.window([full, gate]) is None
    assert op.in_place([full, full], [full]) == (0, 1)
    assert op.in_place([gate, full], [full]) == (1,)
    assert op.bounds([(-1.0, 2.0), (3.0, 5.0)]) == (2.0, 7.0)

    def coupled(first: Value, second: Value) -> set[tuple[Axis, Axis]]:
        found = op.couplings([first, second], [full])
        assert found is not None
        return {(c.first, c.second) for c in found}

    both = {(Axis("in", index, axis), Axis("out", 0, axis)) for index in (0, 1) for axis in (1, 2, 3)}
    assert coupled(full, full) == both
    assert coupled(full, per_channel) == {pair for pair in both if pair[0].index == 0} | {(Axis("in", 1, 0), Axis("out", 0, 3))}
    assert coupled(full, whole) == both - {(Axis("in", 1, 3), Axis("out", 0, 3))}
