"""The pointwise operators against the kernels that define them, on all 256 inputs and many grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops import (
    ELU,
    GELU,
    Abs,
    Conv2D,
    Dequantize,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mish,
    Quantize,
    Relu,
    Relu6,
    Requantize,
    Rsqrt,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from edgewright.ops.pointwise import Pointwise, lookup_table
from tests.tflite_builder import TensorSpec, build_operator, run_litert, run_tflm, schema

B = schema.BuiltinOperator
PAIRS = 40
EVERY_INT8 = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
EVERY_INT16 = np.arange(-32768, 32768, dtype=np.int16).reshape(1, 65536)


def random_grids(rng: np.random.Generator, fixed: tuple[float, int] | None = None, dtype: DType = DType.INT8) -> tuple[Quant, Quant]:
    """Grids of input and output; the ratio of their scales lies between 1/10 and 10."""
    scale = 10 ** rng.uniform(-3.5, 0.5)
    low, high = (-128, 128) if dtype is DType.INT8 else (0, 1)
    output = fixed or (scale * 10 ** rng.uniform(-1, 1), int(rng.integers(low, high)))
    return (
        Quant.per_tensor(np.float32(scale), int(rng.integers(low, high)), dtype),
        Quant.per_tensor(np.float32(output[0]), output[1], dtype),
    )


def values(source: Quant, target: Quant, size: int = 256) -> tuple[Value, Value]:
    return Value("x", (None, size), source.dtype, source), Value("y", (None, size), target.dtype, target)


def leaky_options(alpha: float) -> schema.LeakyReluOptionsT:
    options = schema.LeakyReluOptionsT()
    options.alpha = alpha
    return options


def gelu_options(approximate: bool) -> schema.GeluOptionsT:
    options = schema.GeluOptionsT()
    options.approximate = approximate
    return options


@pytest.mark.parametrize(
    ("op", "code", "options", "fixed"),
    [
        (Relu(), B.RELU, None, None),
        (LeakyRelu(0.1), B.LEAKY_RELU, leaky_options(0.1), None),
        (LeakyRelu(-0.7), B.LEAKY_RELU, leaky_options(-0.7), None),
        (LeakyRelu(1.6), B.LEAKY_RELU, leaky_options(1.6), None),
        (HardSwish(), B.HARD_SWISH, schema.HardSwishOptionsT(), None),
        (Requantize(), B.QUANTIZE, schema.QuantizeOptionsT(), None),
        (ELU(), B.ELU, None, None),
        (Abs(), B.ABS, schema.AbsOptionsT(), None),
        (Sigmoid(), B.LOGISTIC, None, (1 / 256, -128)),
        (Tanh(), B.TANH, None, (1 / 128, 0)),
    ],
    ids=lambda part: repr(part) if isinstance(part, Pointwise) else "",
)
def test_the_table_is_tflm_s(op, code, options, fixed, needs_tflite_micro):
    rng = np.random.default_rng(code)
    for _ in range(PAIRS):
        source, target = random_grids(rng, fixed)
        model = build_operator(code, options, [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)])
        np.testing.assert_array_equal(lookup_table(op, *values(source, target)), run_tflm(model, [EVERY_INT8])[0][0])


@pytest.mark.parametrize(("input_scale", "output_scale"), [(0.7343, 0.7344), (2.3e-6, 2.3e-6), (1e-9, 1e-7), (30.0, 90.0), (1e-4, 6.5)])
def test_hard_swish_is_tflm_s_at_the_ends(input_scale, output_scale, needs_tflite_micro):
    source, target = Quant.per_tensor(input_scale, 3), Quant.per_tensor(output_scale, -7)
    model = build_operator(
        B.HARD_SWISH, schema.HardSwishOptionsT(), [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)]
    )
    np.testing.assert_array_equal(lookup_table(HardSwish(), *values(source, target)), run_tflm(model, [EVERY_INT8])[0][0])


@pytest.mark.parametrize(("op", "code"), [(Sigmoid(), B.LOGISTIC), (Tanh(), B.TANH)], ids=["sigmoid", "tanh"])
@pytest.mark.parametrize("scale", [1e-7, 3e-6, 3.999, 4.0, 7.5, 8.0, 15.9, 16.0, 100.0])
def test_sigmoid_and_tanh_are_tflm_s_at_the_ends(op, code, scale, needs_tflite_micro):
    for zero_point in (-128, -3, 0, 127):
        source, target = Quant.per_tensor(scale, zero_point), Quant.per_tensor(*op.output_quant(()))
        model = build_operator(code, None, [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)])
        np.testing.assert_array_equal(lookup_table(op, *values(source, target)), run_tflm(model, [EVERY_INT8])[0][0])


@pytest.mark.parametrize("scale", [1e-6, 3e-4, 0.02, 1.0, 7.5])
def test_rsqrt_is_tflm_s(scale, needs_tflite_micro):
    """Of what is not negative; the reference refuses the rest."""
    for zero_point in (-128, -100, 0):
        source, target = Quant.per_tensor(scale, zero_point), Quant.per_tensor(scale**-0.5 / 120, -128)
        model = build_operator(B.RSQRT, None, [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)])
        allowed = np.maximum(EVERY_INT8, zero_point).astype(np.int8)
        ours = lookup_table(Rsqrt(), *values(source, target))[allowed.astype(np.int32) + 128]
        np.testing.assert_array_equal(ours, run_tflm(model, [allowed])[0])


def test_hard_swish_refuses_what_tflm_refuses(needs_tflite_micro):
    source, target = Quant.per_tensor(1.0, 0), Quant.per_tensor(1e-3, 0)
    model = build_operator(
        B.HARD_SWISH, schema.HardSwishOptionsT(), [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)]
    )
    with pytest.raises(RuntimeError):
        run_tflm(model, [EVERY_INT8])
    with pytest.raises(ModelError, match="too small"):
        lookup_table(HardSwish(), *values(source, target))


@pytest.mark.parametrize(
    ("op", "code", "options"),
    [
        (Relu(), B.RELU, None),
        (LeakyRelu(0.3), B.LEAKY_RELU, leaky_options(0.3)),
        (Requantize(), B.QUANTIZE, schema.QuantizeOptionsT()),
    ],
    ids=lambda part: repr(part) if isinstance(part, Pointwise) else "",
)
def test_sixteen_bits_are_tflm_s(op, code, options, needs_tflite_micro):
    rng = np.random.default_rng(code)
    for _ in range(6):
        source, target = random_grids(rng, dtype=DType.INT16)
        model = build_operator(
            code, options, [TensorSpec(EVERY_INT16.shape, DType.INT16, source)], [TensorSpec(EVERY_INT16.shape, DType.INT16, target)]
        )
        x, y = values(source, target, 65536)
        mine = op.evaluate_integer([torch.from_numpy(EVERY_INT16.astype(np.int32))], (x,), (y,))[0]
        np.testing.assert_array_equal(mine.numpy(), run_tflm(model, [EVERY_INT16])[0])


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_litert_s_table(approximate):
    rng = np.random.default_rng(7)
    for _ in range(PAIRS):
        source, target = random_grids(rng)
        model = build_operator(
            B.GELU, gelu_options(approximate), [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=target)]
        )
        np.testing.assert_array_equal(lookup_table(GELU(approximate), *values(source, target)), run_litert(model, [EVERY_INT8])[0][0])


def test_relu6_is_litert_s_and_on_one_grid_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(11)
    for _ in range(PAIRS):
        source = random_grids(rng)[0]
        model = build_operator(B.RELU6, None, [TensorSpec((1, 256), quant=source)], [TensorSpec((1, 256), quant=source)])
        table = lookup_table(Relu6(), *values(source, source))
        np.testing.assert_array_equal(table, run_tflm(model, [EVERY_INT8])[0][0])
        np.testing.assert_array_equal(table, run_litert(model, [EVERY_INT8])[0][0])


TABLES = [
    SiLU(), HardSigmoid(), HardSigmoid(0.2, 0.4), GELU(), GELU(True), HardSwish(), Relu6(), ELU(), ELU(0.3), Mish(), Softplus(), Abs()
]


@pytest.mark.parametrize("op", TABLES, ids=repr)
def test_a_table_follows_the_float_function(op):
    """Within half a step (HardSwish, in 16-bit fixed point: one and a half), wherever the output does not saturate."""
    rng = np.random.default_rng(5)
    for _ in range(PAIRS):
        source = random_grids(rng)[0]
        reals = torch.from_numpy(source.to_real(EVERY_INT8)).to(torch.float64)
        wanted = op.evaluate([reals])[0].numpy()[0]
        span = max(float(wanted.max() - wanted.min()), 1e-6)
        target = Quant.per_tensor(np.float32(span / 250), 0)
        centred = wanted / target.scale[0]
        inside = np.abs(centred) < 127
        table = lookup_table(op, *values(source, target)).astype(np.float64)
        assert np.abs(table - centred)[inside].max(initial=0) <= (1.5 if isinstance(op, HardSwish) else 0.5001)


@pytest.mark.parametrize(
    "op", [Relu(), Relu6(), LeakyRelu(0.2), Sigmoid(), Tanh(), HardSwish(), HardSigmoid(), SiLU(), GELU(), Requantize()], ids=repr
)
def test_large_tensors_go_through_the_table(op):
    fixed = op.output_quant(())
    source, target = random_grids(np.random.default_rng(3), fixed)
    x, y = values(source, target)
    many = torch.from_numpy(np.random.default_rng(4).integers(-128, 128, (3, 5, 7, 11), dtype=np.int32))
    table = lookup_table(op, x, y)
    result = op.evaluate_integer([many], (x,), (y,))[0]
    assert result.dtype is torch.int32
    np.testing.assert_array_equal(result.numpy(), table[many.numpy() + 128])


@pytest.mark.parametrize(
    ("op", "torch_function"),
    [
        (Relu(), torch.nn.functional.relu),
        (Relu6(), torch.nn.functional.relu6),
        (Sigmoid(), torch.sigmoid),
        (Tanh(), torch.tanh),
        (LeakyRelu(0.2), lambda x: torch.nn.functional.leaky_relu(x, 0.2)),
        (HardSwish(), torch.nn.functional.hardswish),
        (HardSigmoid(), torch.nn.functional.hardsigmoid),
        (SiLU(), torch.nn.functional.silu),
        (ELU(), torch.nn.functional.elu),
        (ELU(0.3), lambda x: torch.nn.functional.elu(x, 0.3)),
        (Softplus(), torch.nn.functional.softplus),
        (Mish(), torch.nn.functional.mish),
        (Abs(), torch.abs),
        (GELU(), torch.nn.functional.gelu),
        (GELU(True), lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
    ],
    ids=lambda part: repr(part) if isinstance(part, Pointwise) else "",
)
def test_floats_are_torch_s(op, torch_function):
    x = torch.linspace(-9, 9, 400).reshape(4, 100)
    torch.testing.assert_close(op.evaluate([x])[0], torch_function(x), rtol=1e-5, atol=1e-6)


def test_facts():
    source, target = random_grids(np.random.default_rng(0))
    x, y = Value("x", (None, 4, 5, 6), DType.INT8, source), Value("y", (None, 4, 5, 6), DType.INT8, target)
    op = Relu()
    assert op.pointwise and not Quantize().pointwise and not Dequantize().pointwise
    assert op.infer((x,)) == ((None, 4, 5, 6),)
    assert op.window((x,)) == Window()
    assert op.in_place((x,), (y,)) == (0,)
    assert Requantize().in_place((x,), (Value("z", x.shape, DType.INT16),)) == ()
    assert [(c.first, c.second) for c in op.couplings((x,), (y,))] == [(Axis("in", 0, a), Axis("out", 0, a)) for a in (1, 2, 3)]
    assert Sigmoid().output_quant((x,)) == (1 / 256, -128)
    assert Tanh().output_quant((x,)) == (1 / 128, 0)


def test_what_has_no_table_says_so():
    source, target = random_grids(np.random.default_rng(0))
    x, y = values(source, target)
    wide = Value("w", (None, 256), DType.INT16, Quant.per_tensor(0.1, 0, DType.INT16))
    with pytest.raises(UnsupportedError, match="Conv2D is not a table"):
        lookup_table(Conv2D(), x, y)
    with pytest.raises(UnsupportedError, match="GELU has no integer form from int16 to int8"):
        GELU().evaluate_integer([torch.zeros((1, 4), dtype=torch.int32)], (wide,), (y,))
    with pytest.raises(UnsupportedError, match="its integer form needs"):
        lookup_table(Sigmoid(), x, y)
    with pytest.raises(ModelError, match="alpha must be finite"):
        LeakyRelu(float("nan")).infer((x,))
    with pytest.raises(ModelError, match="must be finite"):
        HardSigmoid(float("inf")).infer((x,))
