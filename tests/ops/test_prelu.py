from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis
from edgewright.ops import PRelu
from tests.tflite_builder import TensorSpec, build_operator, constant, run_tflm, schema


def test_integers_are_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(2)
    for _ in range(40):
        scale = 10 ** rng.uniform(-3, 0)
        source = Quant.per_tensor(np.float32(scale), int(rng.integers(-128, 128)))
        target = Quant.per_tensor(np.float32(scale * 10 ** rng.uniform(-1, 1)), int(rng.integers(-128, 128)))
        grid = Quant.per_tensor(np.float32(10 ** rng.uniform(-3, 0)), int(rng.integers(-128, 128)))
        channels = int(rng.integers(1, 9))
        alpha = rng.integers(-128, 128, (channels,), dtype=np.int8)
        x = rng.integers(-128, 128, (1, 8, 8, channels), dtype=np.int8)
        model = build_operator(
            schema.BuiltinOperator.PRELU,
            None,
            [TensorSpec(x.shape, quant=source), constant(alpha.reshape(1, 1, -1), DType.INT8, grid)],
            [TensorSpec(x.shape, quant=target)],
        )
        shape = (None, *x.shape[1:])
        ins = (Value("x", shape, DType.INT8, source), Value("alpha", (channels,), DType.INT8, grid))
        tensors = [torch.from_numpy(array.astype(np.int32)) for array in (x, alpha)]
        mine = PRelu().evaluate_integer(tensors, ins, (Value("y", shape, DType.INT8, target),))[0]
        np.testing.assert_array_equal(mine.numpy(), run_tflm(model, [x])[0])


def test_floats_are_torch_s():
    x, alpha = torch.randn(2, 3, 4, 5), torch.randn(5)
    wanted = torch.nn.functional.prelu(x.permute(0, 3, 1, 2), alpha).permute(0, 2, 3, 1)
    torch.testing.assert_close(PRelu().evaluate([x, alpha])[0], wanted)


def test_alpha_goes_with_the_channels():
    x, alpha = Value("x", (None, 3, 4, 5)), Value("alpha", (5,))
    found = {(c.first, c.second) for c in PRelu().couplings((x, alpha), (x,))}
    assert (Axis("in", 1, 0), Axis("out", 0, 3)) in found and (Axis("in", 0, 3), Axis("out", 0, 3)) in found
    assert PRelu().macs((x, alpha), (x,)) == 60
    with pytest.raises(ModelError, match="one alpha a channel"):
        PRelu().infer((x, Value("alpha", (4,))))
