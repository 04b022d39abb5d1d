from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis
from edgewright.ops.mean import Mean
from tests.ops.tflm import Operand, compare, random_int8, random_quant


def reducer_options(op: Mean) -> schema.ReducerOptionsT:
    options = schema.ReducerOptionsT()
    options.keepDims = op.keep_dims
    return options


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(14)
    for _ in range(300):
        rank = int(rng.integers(2, 5))
        shape = rng.integers(1, 9, rank).tolist()
        if rng.random() < 0.1:
            shape = [1, 90, 90, 2][:rank]
        axes = tuple(sorted((rng.permutation(rank - 1)[: int(rng.integers(1, rank))] + 1).tolist()))
        op = Mean(axes, bool(rng.random() < 0.5))
        quant = random_quant(rng)
        same = rng.random() < 0.3
        factor = rng.choice([1e-6, 0.02, 0.7, 1.0, 1.9, 300.0], p=[0.03, 0.1, 0.4, 0.1, 0.3, 0.07])
        out = quant if same else Quant.per_tensor(quant.scale[0] * factor, int(rng.integers(-128, 128)))
        operands = [Operand(random_int8(rng, shape), quant)]
        compare(op, schema.BuiltinOperator.MEAN, reducer_options(op), operands, out, extra=[np.array(axes)])


def test_float_form_and_bounds() -> None:
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(Mean((1, 2)).evaluate([x])[0], x.mean((1, 2)))
    torch.testing.assert_close(Mean((3,), keep_dims=True).evaluate([x])[0], x.mean(3, keepdim=True))
    assert Mean().bounds([(-1.0, 2.0)]) == (-1.0, 2.0)


def test_facts() -> None:
    ins = [Value("x", (None, 3, 4, 5))]
    for keep, shape, channel in ((False, (None, 5), 1), (True, (None, 1, 1, 5), 3)):
        op = Mean((1, 2), keep)
        outs = [Value("y", op.infer(ins)[0])]
        assert outs[0].shape == shape
        assert op.count(ins) == 12 and op.macs(ins, outs) == 0 and op.window(ins) is None
        couplings = op.couplings(ins, outs)
        assert couplings is not None and [(c.first, c.second) for c in couplings] == [(Axis("in", 0, 3), Axis("out", 0, channel))]
    op = Mean((3,))
    assert op.couplings(ins, [Value("y", op.infer(ins)[0])]) is None


@pytest.mark.parametrize("axes", [(), (0,), (4,), (-1,), (1, 1)])
def test_axes_that_do_not_fit_are_an_error(axes: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="Mean"):
        Mean(axes).infer([Value("x", (None, 3, 4, 5))])
