"""Elementwise operators in the source's axes: arithmetic with broadcasting, clipping, activation functions, and formulas of such."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known, Operand
from edgewright.frontends.layout_shape import fuse, unsqueeze
from edgewright.ir.layout import BatchMixedError, Layout, common, flat, shape_of
from edgewright.ir.layout_plan import broadcast, channels_last, rearranged, restricted
from edgewright.ir.operator import Operator
from edgewright.ops.add import Add
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.mish import Mish
from edgewright.ops.mul import Mul
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.rsqrt import Rsqrt
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.silu import SiLU
from edgewright.ops.softplus import Softplus
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh


def unary(door: Door, x: Held, op: Operator) -> Held:
    """A pointwise operator; the layout stays."""
    if x.name in door.expanded:
        return _again(door, x, unary(door, door.expanded[x.name], op))
    return Held(door.emit(op, [x.name]), x.layout)


def scalar(number: float) -> Known:
    """A constant of one number."""
    return Known(np.asarray([number], np.float32), "scalar")


def add(door: Door, a: Operand, b: Operand) -> Held:
    """The sum, with numpy broadcasting."""
    return _binary(door, Add(), a, b)


def sub(door: Door, a: Operand, b: Operand) -> Held:
    """The difference, with numpy broadcasting."""
    return _binary(door, Sub(), a, b)


def mul(door: Door, a: Operand, b: Operand) -> Held:
    """The product; SiLU, Mish, HardSwish, HardSigmoid and GELU where it is the end of their formula."""
    return _before_expansion(door, _mul, a, b)


def _mul(door: Door, a: Operand, b: Operand) -> Held:
    names, layout = _operands(door, a, b)
    found = recognise(door, names)
    if found is not None:
        op, base = found
        shape = np.broadcast_shapes(*(_concrete(door, name) for name in names))
        if _concrete(door, base) == shape:
            return Held(door.emit(op, [base]), layout)
    return Held(door.emit(Mul(), names), layout)


def div(door: Door, a: Operand, b: Operand) -> Held:
    """Division by a constant, by a square root, or by what is clipped to positive numbers."""
    if not isinstance(b, Known) and b.name in door.expanded:
        return _before_expansion(door, div, a, b)
    if not isinstance(b, Known):
        if b.name in door.positive:
            # Of two roots, which int8 holds where it cannot hold the numbers that a square leads to.
            root = unary(door, b, Rsqrt())
            inverse = mul(door, root, root)
            return inverse if _is_one(a) else mul(door, a, inverse)
        waiting = door.waiting.get(b.name)
        if waiting is not None and waiting[0] == "sqrt":
            inverse = Held(door.emit(Rsqrt(), [waiting[1]]), b.layout)
            return inverse if _is_one(a) else mul(door, a, inverse)
        hint = "only constants, square roots and what is clipped to positive numbers can divide; replace it before export"
        raise UnsupportedError("it divides by an activation", hint=hint)
    divisor = np.asarray(b.array, np.float64)
    if not divisor.all():
        raise UnsupportedError("it divides by zero", hint="check how the model was exported")
    return mul(door, a, Known((1.0 / divisor).astype(np.float32), b.name))


def _is_one(operand: Operand) -> bool:
    return isinstance(operand, Known) and operand.array.size == 1 and float(operand.array.reshape(-1)[0]) == 1.0


def power(door: Door, x: Held, exponent: float) -> Held:
    """A small whole power, as multiplications."""
    if exponent not in (1.0, 2.0, 3.0):
        raise UnsupportedError(
            f"it raises to the power {exponent:g}", hint="powers 1, 2 and 3 are multiplications; replace others before export"
        )
    result = x
    for _ in range(int(exponent) - 1):
        result = mul(door, result, x)
    return result


def clip(door: Door, x: Held, low: float, high: float) -> Held:
    """x limited to [low, high], either of which may be infinite; the operator that says it, or a few that amount to it."""
    if not low < high:
        raise UnsupportedError(f"it clips to [{low:g}, {high:g}]", hint="check how the model was exported")
    if x.name in door.expanded:
        return _again(door, x, clip(door, door.expanded[x.name], low, high))
    waiting = door.waiting.get(x.name)
    if waiting is not None and waiting[0] == "sqrt" and low > 0.0 and math.isinf(high):
        # The least length of what is divided by its length: an epsilon under the root, which only vectors of about nothing can tell.
        squares = add(door, Held(waiting[1], x.layout), scalar(low * low))
        return sqrt(door, squares)
    if math.isinf(high) and low > 0.0:
        result = add(door, unary(door, sub(door, x, scalar(low)), Relu()), scalar(low))
        door.positive.add(result.name)
        return result
    if (low, high) == (0.0, 6.0):
        return unary(door, x, Relu6())
    if (low, high) == (-1.0, 1.0):
        return Held(door.emit(Add("relu_n1_to_1"), [x.name, door.constant(scalar(0.0))]), x.layout)
    if math.isinf(low) and math.isinf(high):
        return x
    if math.isinf(high):
        return unary(door, x, Relu()) if low == 0.0 else add(door, unary(door, sub(door, x, scalar(low)), Relu()), scalar(low))
    if math.isinf(low):
        return sub(door, scalar(high), unary(door, sub(door, scalar(high), x), Relu()))
    width = high - low
    unit = unary(door, x, HardSigmoid(alpha=1.0 / width, beta=-low / width))
    scaled = unit if width == 1.0 else mul(door, unit, scalar(width))
    return scaled if low == 0.0 else add(door, scaled, scalar(low))


def erf(door: Door, x: Held) -> Held:
    """The error function: only as a part of GELU, which the product at its end recognises."""
    return Held(door.pending("erf", x.name), x.layout)


def sqrt(door: Door, x: Held) -> Held:
    """The square root: only as a divisor."""
    return Held(door.pending("sqrt", x.name), x.layout)


def expand(door: Door, x: Operand, wanted: Sequence[int]) -> Operand:
    """Broadcast to ``wanted`` (-1: as it is). What an activation is then combined with may repeat it by itself: see :class:`Door`."""
    if isinstance(x, Known):
        sizes = [x.array.shape[axis - len(wanted)] if size == -1 else size for axis, size in enumerate(wanted)]
        return Known(np.broadcast_to(x.array, sizes), x.name)
    shape = (1,) * (len(wanted) - x.layout.rank) + x.layout.shape
    batch = x.layout.batch_axis
    moved = None if batch is None else batch + len(wanted) - x.layout.rank
    pairs = enumerate(zip(wanted, shape, strict=False))
    repeats = [size if own == 1 and size != -1 and axis != moved else 1 for axis, (size, own) in pairs]
    if len(wanted) < x.layout.rank or any(size not in (-1, own * times) for size, own, times in zip(wanted, shape, repeats, strict=True)):
        raise UnsupportedError(
            f"it repeats an activation of shape {list(x.layout.shape)} to {list(wanted)}", hint="only axes of size 1 can be repeated"
        )
    inner = unsqueeze(x, range(len(wanted) - x.layout.rank))
    if max(repeats) == 1:
        return inner
    if door.symbolic_batch and batch is None:
        raise BatchMixedError
    result = Held(*_repeated(door, inner, repeats))
    door.expanded[result.name] = door.expanded.get(x.name, inner)
    return result


def _again(door: Door, x: Held, result: Held) -> Held:
    """``result``, made of what ``x`` was before it was repeated, repeated as ``x`` is."""
    repeated = expand(door, result, x.layout.shape)
    assert isinstance(repeated, Held)
    return repeated


def _repeated(door: Door, x: Held, repeats: Sequence[int]) -> tuple[str, Layout]:
    """A product with ones; nobody reads it where what comes behind can repeat by itself."""
    names, layout = _operands(door, x, Known(np.ones(repeats, np.float32), "ones"))
    return door.emit(Mul(), names), layout


def _before_expansion(door: Door, function: Callable[[Door, Operand, Operand], Held], a: Operand, b: Operand) -> Held:
    """``function`` of both, as they were before axes of size 1 were repeated; its result is repeated as far as that makes a difference."""
    plain = [door.expanded.get(x.name, x) if isinstance(x, Held) else x for x in (a, b)]
    if plain[0] is a and plain[1] is b:
        return function(door, a, b)
    wanted = np.broadcast_shapes(*(x.layout.shape if isinstance(x, Held) else x.array.shape for x in (a, b)))
    result = expand(door, function(door, *plain), wanted)
    assert isinstance(result, Held)
    return result


def _binary(door: Door, op: Operator, a: Operand, b: Operand) -> Held:
    return _before_expansion(door, partial(_combined, op), a, b)


def _combined(op: Operator, door: Door, a: Operand, b: Operand) -> Held:
    names, layout = _operands(door, a, b)
    return Held(door.emit(op, names), layout)


def _operands(door: Door, *operands: Operand) -> tuple[list[str], Layout]:
    """The values to combine, brought into axes that broadcast, and the layout of the result."""
    helds = [operand for operand in operands if isinstance(operand, Held)]
    rank = max(operand.layout.rank if isinstance(operand, Held) else operand.array.ndim for operand in operands)
    batch = next((rank - held.layout.rank + held.layout.batch_axis for held in helds if held.layout.batch_axis is not None), None)
    plain = [operand if isinstance(operand, Held) else _without_batch(operand, rank, batch) for operand in operands]
    aligned = common([operand.layout if isinstance(operand, Held) else Layout.fresh(operand.array.shape, batch=False) for operand in plain])
    if aligned is None:
        return _operands(door, *(fuse(door, operand) if isinstance(operand, Held) else operand for operand in operands))
    activations = [layout for layout, operand in zip(aligned, plain, strict=True) if isinstance(operand, Held)]
    result = broadcast(aligned, activations, channels_last(rank))
    names = []
    for operand, layout in zip(plain, aligned, strict=True):
        wanted = restricted(result.held, layout)
        if isinstance(operand, Held):
            names.append(door.bring(Held(operand.name, layout), wanted).name)
        else:
            array = operand.array.reshape([int(size or 1) for size in shape_of(layout.held)])
            array = rearranged(array, layout.held, wanted)
            lead = next((axis for axis, size in enumerate(array.shape) if size != 1), array.ndim - 1)
            order = {atom: index for index, atom in enumerate(flat(wanted))}
            names.append(
                door.constant(operand, array.reshape(array.shape[lead:] or (1,)), key=tuple(order[atom] for atom in flat(layout.seen)))
            )
    return names, result


def _without_batch(known: Known, rank: int, batch: int | None) -> Known:
    """A constant that says the same for every sample says it once; BatchMixedError where it does not."""
    axis = None if batch is None else batch - rank + known.array.ndim
    if axis is None or axis < 0 or known.array.shape[axis] == 1:
        return known
    one = known.array.take([0], axis=axis)
    if not np.array_equal(np.broadcast_to(one, known.array.shape), known.array):
        raise BatchMixedError
    return Known(one, known.name, known.quant)


def _concrete(door: Door, name: str) -> tuple[int, ...]:
    return tuple(1 if size is None else size for size in door.builder.value(name).shape)


@dataclass(frozen=True)
class _Product:
    coefficient: float
    factors: tuple[str, ...]


def recognise(door: Door, names: Sequence[str]) -> tuple[Operator, str] | None:
    """The activation function that the product of values ``names`` spells out, and of which value; None where it is just a product."""
    product = _product(door, names, 4)
    if len(product.factors) == 1 and _near(product.coefficient, 1 / 6):
        base = _shifted_clip(door, product.factors[0])
        return None if base is None else (HardSigmoid(), base)
    if len(product.factors) != 2:
        return None
    for x, gate in (product.factors, product.factors[::-1]):
        made = door.expression(gate)
        if made is None:
            continue
        op, inputs = made
        if _near(product.coefficient, 1.0) and inputs[0] == x and isinstance(op, Sigmoid):
            return SiLU(), x
        if _near(product.coefficient, 1.0) and isinstance(op, Tanh) and door.expression(inputs[0]) == (Softplus(), (x,)):
            return Mish(), x
        if (
            _near(product.coefficient, 1.0)
            and inputs[0] == x
            and isinstance(op, HardSigmoid)
            and _near(op.alpha, 1 / 6)
            and _near(op.beta, 0.5)
        ):
            return HardSwish(), x
        if _near(product.coefficient, 1 / 6) and _shifted_clip(door, gate) == x:
            return HardSwish(), x
        if _near(product.coefficient, 0.5):
            approximate = _gelu_gate(door, gate, x)
            if approximate is not None:
                return GELU(approximate=approximate), x
    return None


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-5)


def _number(door: Door, name: str) -> float | None:
    """The one number of a constant, or None."""
    array = door.numbers.get(name)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _product(door: Door, names: Sequence[str], depth: int) -> _Product:
    """Names multiplied, with multiplications behind them multiplied out."""
    coefficient = 1.0
    factors: list[str] = []
    for name in names:
        number = _number(door, name)
        made = door.expression(name)
        if number is not None:
            coefficient *= number
        elif made is not None and isinstance(made[0], Mul) and made[0].activation == "none" and depth:
            inner = _product(door, made[1], depth - 1)
            coefficient *= inner.coefficient
            factors.extend(inner.factors)
        else:
            factors.append(name)
    return _Product(coefficient, tuple(factors))


def _sum_with(door: Door, name: str, number: float) -> str | None:
    """The value that ``name`` adds ``number`` to, or None."""
    made = door.expression(name)
    if made is not None and isinstance(made[0], Add) and made[0].activation == "none":
        for value, other in (made[1], made[1][::-1]):
            found = _number(door, other)
            if found is not None and _near(found, number):
                return value
    return None


def _shifted_clip(door: Door, name: str) -> str | None:
    """x, where ``name`` is clip(x + 3, 0, 6)."""
    made = door.expression(name)
    return _sum_with(door, made[1][0], 3.0) if made is not None and isinstance(made[0], Relu6) else None


def _gelu_gate(door: Door, gate: str, x: str) -> bool | None:
    """False where ``gate`` is 1 + erf(x / sqrt(2)), True where it is 1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)), else None."""
    inner = _sum_with(door, gate, 1.0)
    if inner is None:
        return None
    waiting = door.waiting.get(inner)
    if waiting is not None and waiting[0] == "erf":
        argument = _product(door, [waiting[1]], 4)
        return False if argument.factors == (x,) and _near(argument.coefficient, math.sqrt(0.5)) else None
    made = door.expression(inner)
    if made is None or not isinstance(made[0], Tanh):
        return None
    argument = _product(door, made[1], 4)
    if len(argument.factors) == 1 and _near(argument.coefficient, math.sqrt(2 / math.pi)):
        total = door.expression(argument.factors[0])
        if total is not None and isinstance(total[0], Add):
            for value, other in (total[1], total[1][::-1]):
                cubic = _product(door, [other], 4)
                if value == x and cubic.factors == (x, x, x) and _near(cubic.coefficient, 0.044715):
                    return True
    return None
