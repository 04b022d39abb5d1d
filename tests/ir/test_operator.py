from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops import Conv2D
from edgewright.ops.pointwise import Pointwise


@pytest.fixture
def registry():
    """The registry, put back afterwards."""
    before = dict(Operator.REGISTRY)
    yield Operator.REGISTRY
    Operator.REGISTRY.clear()
    Operator.REGISTRY.update(before)


def test_a_new_operator_registers_itself_a_base_does_not(registry):
    class Frobnicate(Operator):
        pass

    class Shared(Operator, register=False):
        pass

    assert registry["Frobnicate"] is Frobnicate
    assert "Shared" not in registry and "Pointwise" not in registry and issubclass(registry["Relu"], Pointwise)


def test_what_an_operator_does_not_say_is_unsupported(registry):
    @dataclass(frozen=True)
    class Silent(Operator):
        size: int = 3

    op, x = Silent(), Value("x", (None, 2))
    assert op.kind == "Silent" and op.attributes() == {"size": 3}
    for call in (
        lambda: op.infer([x]),
        lambda: op.evaluate([torch.zeros(1, 2)]),
        lambda: op.evaluate_integer([torch.zeros(1, 2)], [x], [x]),
    ):
        with pytest.raises(UnsupportedError, match="Silent has no"):
            call()
    assert op.couplings([x], [x]) is None and op.window([x]) is None
    assert op.macs([x], [x]) == 0 and op.in_place([x], [x]) == () and op.output_quant([x]) is None
    assert op.resized([x], {}) is op and op.with_batch(1) is op


def test_operators_are_values():
    assert Conv2D(stride=(2, 2)) == Conv2D(stride=(2, 2)) != Conv2D()
    assert len({Conv2D(), Conv2D(), Conv2D(groups=2)}) == 2


def test_expect_names_the_operator_and_hints():
    expect(True, Conv2D(), "fine")
    with pytest.raises(ModelError, match="Conv2D: it is broken") as caught:
        expect(False, Conv2D(), "it is broken")
    assert caught.value.hint
