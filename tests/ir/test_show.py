from __future__ import annotations

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.show import show_graph, show_value
from tests.ir.graphs import float_graph, integer_graph

# ruff: noqa: E501
SMALL = """\
graph small (float)
  input  x: float32[Nx4x4x2]
  state  past: float32[Nx3] <- mixed, at first start
  const  bias: float32[3]
  const  head_weight: float32[3x3]
  const  start: float32[1x3]
  const  weight: float32[3x3x3x2] structured
  conv = Conv2D(x, weight, bias; stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1, activation=none) -> conv: float32[Nx4x4x3]
  relu = Relu(conv) -> relu: float32[Nx4x4x3]
  add = Add(relu, conv; activation=none) -> add: float32[Nx4x4x3]
  mean = Mean(add; axes=(1, 2), keep_dims=False) -> mean: float32[Nx3]
  mixed = Mul(mean, past; activation=none) -> mixed: float32[Nx3]
  head = Dense(mixed, head_weight; activation=none) -> head: float32[Nx3]
  output head
"""
INTEGERS = """\
graph integers (integer)
  input  x: int8[Nx2] (int8, scale 0.5, zero point 3)
  const  weight: int8[3x2] (int8, 3 scales along axis 0)
  y = Dense(x, weight; activation=none) -> y: int8[Nx3] (int8, scale 1, zero point 0)
  output y
"""


def test_golden():
    assert show_graph(float_graph()) == SMALL
    assert show_graph(integer_graph()) == INTEGERS


def test_values():
    assert show_value(Value("s", ())) == "s: float32[]"
    assert (
        show_value(Value("v", (1, 7), DType.INT16, Quant.per_tensor(1 / 3, 0, DType.INT16)))
        == "v: int16[1x7] (int16, scale 0.333333, zero point 0)"
    )
