from __future__ import annotations

import pytest
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.batch_norm import BatchNorm


def test_float_form_is_torch_s() -> None:
    theirs = torch.nn.BatchNorm2d(3, eps=1e-3).eval()
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    theirs.running_mean, theirs.running_var = torch.randn(3), torch.rand(3) + 0.1
    x = torch.randn(2, 3, 4, 5)
    ours = BatchNorm(1e-3).evaluate([x.permute(0, 2, 3, 1), theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var])[0]
    torch.testing.assert_close(ours.permute(0, 3, 1, 2), theirs(x))


def test_facts() -> None:
    ins = [Value("x", (None, 4, 5, 3))] + [Value(name, (3,)) for name in ("scale", "offset", "mean", "variance")]
    outs = [Value("y", BatchNorm().infer(ins)[0])]
    assert outs[0].shape == (None, 4, 5, 3)
    assert BatchNorm().window(ins) == Window()
    assert BatchNorm().in_place(ins, outs) == (0,)
    couplings = BatchNorm().couplings(ins, outs)
    assert couplings is not None
    channels = {(c.first, c.second) for c in couplings if c.second == Axis("out", 0, 3)}
    assert channels == {(Axis("in", 0, 3), Axis("out", 0, 3))} | {(Axis("in", index, 0), Axis("out", 0, 3)) for index in range(1, 5)}
    with pytest.raises(ModelError, match="must have 3 numbers each"):
        BatchNorm().infer([*ins[:4], Value("variance", (4,))])
    with pytest.raises(UnsupportedError, match="no integer form"):
        BatchNorm().evaluate_integer([], ins, outs)
