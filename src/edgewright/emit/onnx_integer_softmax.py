"""Softmax and LogSoftmax in exact operators of ONNX: what :mod:`edgewright.ops.fixed_point` computes, with exponentials from tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from edgewright.emit.onnx_integer_arithmetic import (
    UNSIGNED,
    Doubles,
    cast,
    divided_by_power,
    floor_of,
    high_mul,
    number,
    saturated,
    scaled,
    unsigned,
    with_number,
    wrapped,
)
from edgewright.emit.onnx_writer import Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Layout
from edgewright.ir.layout_plan import channels_first, locate
from edgewright.ops.fixed_point import (
    INTEGER_BITS,
    SUM_INTEGER_BITS,
    ExpInput,
    exp_on_negative,
    scaled_difference,
)
from edgewright.ops.requant import INT32_MAX, INT32_MIN, rounding_divide_by_pot

DIFFERENCES = 256
"""Distances of int8 numbers to the largest of their row: 0 … 255."""


def softmax(writer: Writer, node: Node) -> Tensor:
    """Exponentials in Q0.31, their sum in Q12.19, its reciprocal by three steps of Newton."""
    op: Any = node.op
    parameters = op.parameters(writer.graph.ins(node))
    distance, axis, layout = _distances(writer, node)
    exps, terms, _ = _exponentials(parameters)
    total = _sum(writer, distance, terms, axis)
    scale, power = _reciprocal(writer, total)
    product = high_mul(writer, scale, _looked_up(writer, exps, distance))
    out = divided_by_power(writer, product, with_number(writer, "Mul", power, 2.0**23))
    counted = writer.node("LessOrEqual", [distance, number(writer, -parameters.smallest_difference, np.int32)])
    return Tensor(unsigned(writer, writer.node("Where", [counted, out, number(writer, 0.0)]), -128, 127), layout)


def log_softmax(writer: Writer, node: Node) -> Tensor:
    """As :func:`softmax` up to the sum, then its logarithm in Q5.26."""
    op: Any = node.op
    parameters, reverse = op.parameters(writer.graph.ins(node))
    distance, axis, layout = _distances(writer, node)
    _, terms, differences = _exponentials(parameters)
    log_sum = _log_at_least_one(writer, _sum(writer, distance, terms, axis))
    smallest = scaled(writer, with_number(writer, "Add", log_sum, INT32_MIN), -INT32_MIN, reverse)
    smallest = writer.node("Max", [smallest, number(writer, parameters.smallest_difference - 1)])
    rest = writer.node("Sub", [_looked_up(writer, differences, distance), log_sum])
    out = with_number(writer, "Add", divided_by_power(writer, rest, number(writer, 2.0**22)), 127 + UNSIGNED)
    inside = writer.node("Less", [cast(writer, distance), writer.node("Neg", [smallest])])
    return Tensor(unsigned(writer, writer.node("Where", [inside, out, number(writer, 0.0)]), -128, 127), layout)


def _distances(writer: Writer, node: Node) -> tuple[str, int, Layout]:
    """(largest number of the row minus x as int32, the axis of the row in the file, the layout)."""
    layout = writer.layout(node.inputs[0])
    wanted, places = locate(layout, [layout.rank - 1], channels_first(layout.rank))
    x, axis = writer.fetch(node.inputs[0], wanted), places[layout.rank - 1]
    largest = writer.node("ReduceMax", [x], axes=[axis], keepdims=1)
    distance = writer.node("Sub", [cast(writer, largest, TensorProto.INT32), cast(writer, x, TensorProto.INT32)])
    return distance, axis, Layout(layout.seen, wanted)


def _exponentials(parameters: ExpInput) -> tuple[Doubles, Doubles, Doubles]:
    """By distance: the exponential in Q0.31, what it adds to the sum in Q12.19, and the difference itself in Q5.26."""
    difference = -torch.arange(DIFFERENCES, dtype=torch.int64)
    counted = difference >= parameters.smallest_difference
    steps = scaled_difference(difference.clamp(min=parameters.smallest_difference), parameters)
    exps = exp_on_negative(steps)
    terms = torch.where(counted, rounding_divide_by_pot(exps, SUM_INTEGER_BITS), 0)
    return exps.double().numpy(), terms.double().numpy(), steps.double().numpy()


def _looked_up(writer: Writer, table: Doubles, index: str) -> str:
    return writer.node("Gather", [writer.constant("table", table), index])


def _sum(writer: Writer, distance: str, terms: Doubles, axis: int) -> str:
    axes = writer.constant("axes", np.asarray([axis], np.int64))
    return wrapped(writer, writer.node("ReduceSum", [_looked_up(writer, terms, distance), axes], keepdims=1))


def _bits(writer: Writer, x: str) -> str:
    """Bits of abs(``x``): 32 minus its leading zeros. Thresholds run along an axis of their own, which is summed away."""
    axis = writer.constant("axes", np.asarray([-1], np.int64))
    thresholds = writer.constant("numbers", np.exp2(np.arange(32.0)) - 0.5)
    above = writer.node("Less", [thresholds, writer.node("Unsqueeze", [writer.node("Abs", [x]), axis])])
    return writer.node("ReduceSum", [cast(writer, above), axis], keepdims=0)


def _power(writer: Writer, bits: str, offset: int, sign: int = 1) -> str:
    """2**(sign * bits + offset) for ``bits`` of 0 … 32, from a table: Pow need not be exact."""
    return _looked_up(writer, np.exp2(sign * np.arange(33.0) + offset), cast(writer, bits, TensorProto.INT32))


def _reciprocal(writer: Writer, x: str) -> tuple[str, str]:
    """(raw, power): 1 / x for Q12.19 ``x`` >= 1 is raw / power in Q0.31."""
    bits = _bits(writer, x)
    shifted = wrapped(writer, writer.node("Mul", [x, _power(writer, bits, 32, -1)]))
    minus_one = with_number(writer, "Add", shifted, 1 << 31)
    return _one_over_one_plus(writer, wrapped(writer, minus_one)), _power(writer, bits, SUM_INTEGER_BITS - 32)


def _one_over_one_plus(writer: Writer, x: str) -> str:
    """1 / (1 + x) for x in [0, 1), Q0.31."""
    half_denominator = floor_of(writer, x, 0.5, (INT32_MAX + 1) / 2)
    estimate = with_number(writer, "Add", high_mul(writer, half_denominator, -1010580540), 1515870810)
    for _ in range(3):
        error = writer.node("Sub", [number(writer, 1 << 29), high_mul(writer, half_denominator, estimate)])
        estimate = writer.node("Add", [estimate, _doubled(writer, high_mul(writer, estimate, error), 2)])
    return _doubled(writer, estimate, 1)


def _log_at_least_one(writer: Writer, x: str) -> str:
    """log of Q12.19 ``x`` >= 1, in Q5.26; names as in :func:`edgewright.ops.fixed_point.log_at_least_one`."""
    log_2, sqrt_sqrt_half, sqrt_half = 1488522236, 1805811301, 1518500250
    alpha_n, alpha_d, alpha_i, alpha_f = 117049297, 127690142, 1057819769, 638450708
    places = INTEGER_BITS + 1
    quarter = 1 << (29 - places)
    bits = _bits(writer, x)
    lifted = saturated(writer, writer.node("Mul", [x, _power(writer, bits, 31, -1)]))
    first = _doubled(writer, high_mul(writer, lifted, sqrt_half), 1)
    first_power = _log_power(writer, bits, SUM_INTEGER_BITS - 32, quarter)
    bits = _bits(writer, high_mul(writer, x, sqrt_half))
    second = saturated(writer, writer.node("Mul", [x, _power(writer, bits, 31, -1)]))
    second_power = _log_power(writer, bits, SUM_INTEGER_BITS - 31, -quarter)
    r, power = writer.node("Min", [first, second]), writer.node("Max", [first_power, second_power])
    p = floor_of(writer, r, 0.5, (sqrt_sqrt_half + 1) / 2)
    q = with_number(writer, "Mul", with_number(writer, "Sub", r, sqrt_sqrt_half), 2.0)
    square = high_mul(writer, q, q)
    cube = high_mul(writer, high_mul(writer, q, square), alpha_n)
    numerator = writer.node("Add", [high_mul(writer, q, r), cube])
    denominator = with_number(writer, "Add", writer.node("Add", [q, high_mul(writer, square, alpha_d)]), alpha_i)
    denominator = writer.node("Add", [high_mul(writer, p, denominator), high_mul(writer, q, alpha_f)])
    numerator = divided_by_power(writer, numerator, number(writer, 2.0**places))
    fraction = high_mul(writer, numerator, _one_over_one_plus(writer, denominator))
    return _doubled(writer, writer.node("Add", [high_mul(writer, power, log_2), fraction]), 1)


def _log_power(writer: Writer, bits: str, offset: int, quarter: int) -> str:
    """The whole part of the logarithm to base 2, ``bits`` + ``offset``, in Q6.25, and a quarter, saturated."""
    whole = with_number(writer, "Mul", with_number(writer, "Add", bits, offset), 2.0 ** (31 - INTEGER_BITS - 1))
    return saturated(writer, with_number(writer, "Add", saturated(writer, whole), quarter))


def _doubled(writer: Writer, x: str, times: int) -> str:
    """``x`` * 2**times, saturated to int32."""
    return saturated(writer, with_number(writer, "Mul", x, 2.0**times))
