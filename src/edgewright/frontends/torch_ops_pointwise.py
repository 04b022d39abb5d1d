"""Torch's elementwise operators: aten name → conversion."""

from __future__ import annotations

import math

import numpy as np
import torch

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known, Operand, as_reals
from edgewright.frontends.layout_arithmetic import add, clip, div, erf, mul, power, scalar, sqrt, sub, unary
from edgewright.frontends.layout_masks import as_mask, both, choose, equal, is_mask, is_whole, opposite
from edgewright.frontends.torch_arguments import Arguments, Handler
from edgewright.ir.operator import Operator
from edgewright.ops.abs import Abs
from edgewright.ops.elu import ELU, SELU_ALPHA, SELU_SCALE
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.mish import Mish
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.rsqrt import Rsqrt
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.silu import SiLU
from edgewright.ops.softplus import Softplus
from edgewright.ops.tanh import Tanh


def _unary(op: Operator) -> Handler:
    return lambda door, a: unary(door, a.held(), op)


def _scaled(operand: Operand, factor: float, door: Door) -> Operand:
    if factor == 1.0:
        return operand
    return Known(as_reals(operand) * np.float32(factor), operand.name) if isinstance(operand, Known) else mul(door, operand, scalar(factor))


def _add(door: Door, a: Arguments) -> Held:
    return add(door, a.operand("self"), _scaled(a.operand("other"), a.number("alpha", 1.0), door))


def _sub(door: Door, a: Arguments) -> Held:
    return sub(door, a.operand("self"), _scaled(a.operand("other"), a.number("alpha", 1.0), door))


def _rsub(door: Door, a: Arguments) -> Held:
    return sub(door, a.operand("other"), _scaled(a.operand("self"), a.number("alpha", 1.0), door))


def _mul(door: Door, a: Arguments) -> Held:
    return mul(door, a.operand("self"), a.operand("other"))


def _div(door: Door, a: Arguments) -> Held:
    if a.raw("rounding_mode") is not None:
        raise UnsupportedError("division that rounds", hint="only plain division is supported")
    return div(door, a.operand("self"), a.operand("other"))


def _clip(low: str, high: str, low_default: float | None = None, high_default: float | None = None) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        bottom = a.number(low, low_default) if low and a.raw(low, low_default) is not None else -math.inf
        top = a.number(high, high_default) if high and a.raw(high, high_default) is not None else math.inf
        return clip(door, a.held(), bottom, top)

    return handler


def _extreme(upper: bool) -> Handler:
    """maximum(x, number) and minimum(x, number)."""

    def handler(door: Door, a: Arguments) -> Held:
        first, second = a.operand("self"), a.operand("other")
        x, bound = (first, second) if isinstance(first, Held) else (second, first)
        if not isinstance(x, Held) or not isinstance(bound, Known) or bound.array.size != 1:
            raise UnsupportedError("the larger or smaller of two activations", hint="only a constant number can be the other side")
        number = float(bound.array.reshape(-1)[0])
        return clip(door, x, number, math.inf) if upper else clip(door, x, -math.inf, number)

    return handler


def _gelu(door: Door, a: Arguments) -> Held:
    return unary(door, a.held(), GELU(approximate=a.raw("approximate", "none") == "tanh"))


def _leaky_relu(door: Door, a: Arguments) -> Held:
    return unary(door, a.held(), LeakyRelu(a.number("negative_slope", 0.01)))


def _elu(door: Door, a: Arguments) -> Held:
    """``scale`` times it; ``input_scale`` stands in front of x below zero only."""
    if a.number("input_scale", 1.0) != 1.0:
        raise UnsupportedError("an ELU that scales its input", hint="multiply the input in front of it instead")
    y, scale = unary(door, a.held(), ELU(a.number("alpha", 1.0))), a.number("scale", 1.0)
    return y if scale == 1.0 else mul(door, y, scalar(scale))


def _selu(door: Door, a: Arguments) -> Held:
    return mul(door, unary(door, a.held(), ELU(SELU_ALPHA)), scalar(SELU_SCALE))


def _softplus(door: Door, a: Arguments) -> Held:
    """log(1 + exp(beta x)) / beta; beyond torch's threshold it is the same to float32."""
    beta = a.number("beta", 1.0)
    if beta <= 0 or a.number("threshold", 20.0) < 15:
        raise UnsupportedError("softplus with a low threshold", hint="leave the threshold at 20")
    if beta == 1.0:
        return unary(door, a.held(), Softplus())
    return mul(door, unary(door, mul(door, a.held(), scalar(beta)), Softplus()), scalar(1.0 / beta))


def _power(door: Door, a: Arguments) -> Held:
    return power(door, a.held(), a.number("exponent"))


def _cast(door: Door, a: Arguments) -> Operand:
    dtype, x = a.raw("dtype"), a.operand("self")
    known = isinstance(x, Held) and (is_whole(door, x) or is_mask(door, x))
    if dtype is torch.bool and isinstance(x, Held) and known:
        return as_mask(door, x)
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point and not known:
        raise UnsupportedError(
            f"it turns an activation into {dtype}", hint="activations are real numbers; leave integer work outside of the network"
        )
    return x


def _same(name: str) -> Handler:
    return lambda door, a: a.operand(name)


def _equal(same: bool) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        found = equal(door, a.held(), a.number("other"))
        return found if same else opposite(door, found)

    return handler


def _choose(mask: str, there: str, gone: str) -> Handler:
    return lambda door, a: choose(door, a.operand(mask), a.operand(there), a.operand(gone))


POINTWISE: dict[str, Handler] = {
    "aten.relu.default": _unary(Relu()),
    "aten.relu6.default": _unary(Relu6()),
    "aten.sigmoid.default": _unary(Sigmoid()),
    "aten.tanh.default": _unary(Tanh()),
    "aten.silu.default": _unary(SiLU()),
    "aten.hardswish.default": _unary(HardSwish()),
    "aten.rsqrt.default": _unary(Rsqrt()),
    "aten.sqrt.default": lambda door, a: sqrt(door, a.held()),
    "aten.reciprocal.default": lambda door, a: div(door, scalar(1.0), a.held()),
    "aten.hardsigmoid.default": _unary(HardSigmoid()),
    "aten.abs.default": _unary(Abs()),
    "aten.elu.default": _elu,
    "aten.selu.default": _selu,
    "aten.softplus.default": _softplus,
    "aten.mish.default": _unary(Mish()),
    "aten.gelu.default": _gelu,
    "aten.leaky_relu.default": _leaky_relu,
    "aten.hardtanh.default": _clip("min_val", "max_val", -1.0, 1.0),
    "aten.clamp.default": _clip("min", "max"),
    "aten.clip.default": _clip("min", "max"),
    "aten.clamp.Tensor": _clip("min", "max"),
    "aten.clamp_min.default": _clip("min", ""),
    "aten.clamp_max.default": _clip("", "max"),
    "aten.maximum.default": _extreme(upper=True),
    "aten.max.other": _extreme(upper=True),
    "aten.minimum.default": _extreme(upper=False),
    "aten.min.other": _extreme(upper=False),
    "aten.erf.default": lambda door, a: erf(door, a.held()),
    "aten.pow.Tensor_Scalar": _power,
    "aten.square.default": lambda door, a: power(door, a.held(), 2.0),
    "aten.neg.default": lambda door, a: mul(door, a.held(), scalar(-1.0)),
    **{
        f"aten.{name}.{form}": handler
        for name, handler in (("add", _add), ("sub", _sub), ("mul", _mul), ("div", _div))
        for form in ("Tensor", "Scalar", "Tensor_mode", "Scalar_mode")
    },
    "aten.eq.Scalar": _equal(same=True),
    "aten.ne.Scalar": _equal(same=False),
    **{f"aten.{name}.default": lambda door, a: opposite(door, a.held()) for name in ("logical_not", "bitwise_not")},
    **{f"aten.{name}": lambda door, a: both(door, a.operand("self"), a.operand("other"))
       for name in ("logical_and.default", "bitwise_and.Tensor", "__and__.Tensor")},
    "aten.masked_fill.Scalar": _choose("mask", "value", "self"),
    "aten.masked_fill.Tensor": _choose("mask", "value", "self"),
    **{f"aten.where.{form}": _choose("condition", "self", "other") for form in ("self", "ScalarSelf", "ScalarOther", "Scalar")},
    "aten.multiply.Tensor": _mul,
    "aten.divide.Tensor": _div,
    "aten.subtract.Tensor": _sub,
    "aten.rsub.Scalar": _rsub,
    "aten.rsub.Tensor": _rsub,
    **{f"aten.{name}.default": _same("input") for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")},
    **{
        f"aten.{name}": _same("self")
        for name in (
            "contiguous.default",
            "clone.default",
            "detach.default",
            "alias.default",
            "lift_fresh_copy.default",
            "to.device",
            "to.prim_Device",
            "positive.default",
            "type_as.default",
        )
    },
    **{f"aten.{name}": _cast for name in ("to.dtype", "to.dtype_layout", "to.other", "_to_copy.default")},
}
