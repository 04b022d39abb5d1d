"""What an operator has to say about itself.

One operator, one file in ``ops/``; a pass asks, and never lists types that it does not transform.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType

if TYPE_CHECKING:
    from torch import Tensor

    from edgewright.ir.graph import Shape, Value


@dataclass(frozen=True)
class Axis:
    """One axis of one operand: input or output ``index``, ``axis`` counted from 0."""

    side: Literal["in", "out"]
    index: int
    axis: int


@dataclass(frozen=True, eq=False)
class Coupling:
    """Elements along two axes that live and die together: removing one index removes its partners.

    ``pairs`` is an (n, 2) integer array of (index along ``first``, index along ``second``); None means i ↔ i for every i.
    """

    first: Axis
    second: Axis
    pairs: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Window:
    """The receptive field along the two spatial axes (1 and 2) of a channels-last tensor, in elements.

    ``padding`` is ((top, bottom), (left, right)).
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Operator:
    """Base of all operators: a frozen dataclass whose fields are the attributes (hashable plain Python values).

    Tensors are channels-last: NHWC for four axes, (N, C) for two; axis 0 is the batch. Weights have the output channel at axis 0.
    Optional trailing inputs (a bias) are simply absent.
    """

    REGISTRY: ClassVar[dict[str, type[Operator]]] = {}
    inputs_range: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most inputs."""
    weight_inputs: ClassVar[tuple[int, ...]] = ()
    """Indices of inputs that are quantized as weights: symmetric, one scale for each output channel (axis 0)."""
    weight_groups: ClassVar[int | None] = None
    """Equal blocks of output channels that share one scale (the gates of a recurrent operator); None: each has its own."""
    channel_inputs: ClassVar[tuple[int, ...]] = ()
    """Indices of inputs with one factor for each channel of the output, quantized as weights are; nothing is summed over them."""
    index_inputs: ClassVar[tuple[int, ...]] = ()
    """Indices of inputs that hold whole numbers, which choose and are not computed with: int32 (INDEX_QUANT) where others are quantized."""
    bias_input: ClassVar[int | None] = None
    """Index of the input that is an int32 bias with scale input * weight."""
    same_quant: ClassVar[bool] = False
    """Integers pass through unchanged (reshape, max, gather, …): inputs (index inputs aside) and outputs share one Quant."""
    view: ClassVar[bool] = False
    """Output 0 is input 0 with other axes: the same bytes in the same order, nothing to do at run time."""
    monotone: ClassVar[bool] = False
    """No output falls when an element of a data input rises, in integers neither. (Holds for all that has ``same_quant`` as well.)"""
    homogeneous: ClassVar[bool] = False
    """Factors above zero pass through, one for each index of the last axis where that axis stays: f(s x) = s f(x)."""
    takes_int16: ClassVar[bool] = False
    """Its integer form takes int16 activations as well as int8 ones: inputs and outputs of one width."""
    int8_inputs: ClassVar[tuple[int, ...]] = ()
    """Indices of inputs that stay int8 beside int16 activations."""
    pointwise: ClassVar[bool] = False
    """One input, one output of the same shape, every element mapped by one scalar function (at int8: a 256-entry table)."""

    def __init_subclass__(cls, *, register: bool = True) -> None:
        """``register=False``: a base class that several operators share, not an operator."""
        if register:
            Operator.REGISTRY[cls.__name__] = cls

    @property
    def kind(self) -> str:
        return type(self).__name__

    def attributes(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        """Output shapes. Raises ModelError where the inputs do not fit the attributes. Axis 0 may be None (symbolic batch)."""
        raise UnsupportedError(f"{self.kind} has no shape inference")

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Float outputs, differentiable."""
        raise UnsupportedError(f"{self.kind} has no float evaluation")

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """Exact integer outputs. Tensors in and out are torch.int32, whatever the width of the value.

        ``ins`` and ``outs`` carry dtype and Quant.
        """
        raise UnsupportedError(f"{self.kind} has no integer form", hint="keep it in float, or replace it by an operator that has one")

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        """Multiply-accumulates for one sample."""
        return 0

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        """How removing indices along axes travels through this operator; None where nothing can be removed from any operand.

        An axis that no coupling names keeps all its indices (spatial axes of a convolution, axes that are reduced or normalized).
        An index that stands in no pair of a named axis is free: it can go without touching another operand (what a slice leaves out).
        """
        return None

    def resized(self, ins: Sequence[Value], removed: dict[Axis, NDArray[np.int64]]) -> Operator:
        """The operator after the indices ``removed`` along the given axes are gone (groups, multiplier, split sizes, shapes adapt)."""
        return self

    def with_batch(self, batch: int | None) -> Operator:
        """The operator with the batch, where its attributes name it, set to ``batch``."""
        return self

    def window(self, ins: Sequence[Value]) -> Window | None:
        """Receptive field; the 1x1 window for pointwise operators, None where an output may depend on the whole input."""
        return None

    def padding_value(self, ins: Sequence[Value]) -> int | None:
        """The integer that stands at the padded places of input 0; None where no integer does (an average leaves them out)."""
        return None

    def without_padding(self, rows: bool, columns: bool) -> Operator:
        """The operator with no padding along rows, columns or both: for an input that already has it."""
        return self

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Least and greatest real that output 0 can hold, its fused activation aside, when every input stays within ``ins``.

        Infinite where nothing is known. What operators pass through unchanged stays within what comes in.
        """
        if self.same_quant:
            return min(low for low, _ in ins), max(high for _, high in ins)
        return -math.inf, math.inf

    def reach(self) -> float | None:
        """How far below the greatest of its row (the last axis of input 0) an element may lie and still be heard; None: any distance."""
        return None

    def heard(self, index: int, ins: Sequence[tuple[float, float]], out: tuple[float, float]) -> tuple[float, float]:
        """The reals of input ``index`` beyond which output 0, held within ``out``, says the same; the other inputs stay within ``ins``."""
        return -math.inf, math.inf

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        """Indices of inputs whose buffer output 0 may take over: element i is read before, or when, element i is written."""
        return ()

    def multiplicand(self, index: int) -> tuple[Literal["in", "out"], int]:
        """Which operand the weight input ``index`` multiplies."""
        return "in", 0

    def bias_of(self, index: int) -> int | None:
        """Index of the input that is added to the products of weight input ``index``."""
        return self.bias_input

    def product_scale(self, input_scale: float) -> float:
        """The scale of what is multiplied by weights, and added to the bias, in units of 1 / weight scale; ``input_scale`` as a rule."""
        return input_scale

    def output_quant(self, ins: Sequence[Value], index: int = 0, dtype: DType = DType.INT8) -> tuple[float, int] | None:
        """(scale, zero point) that the arithmetic fixes for an output of ``dtype`` (softmax at int8: 1/256, -128), or None: calibrated."""
        return None


def expect(condition: bool, operator: Operator, message: str) -> None:
    """Raise a ModelError about ``operator`` unless ``condition`` holds."""
    if not condition:
        raise ModelError(f"{operator.kind}: {message}", hint="the model is inconsistent; check how it was exported")
