"""What a runner gives back: the outputs, and what was measured on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgewright.errors import DataError
from edgewright.run.footprint import Footprint

Arrays = Sequence[NDArray[np.generic]]
"""One array for each input or output of a network, each with the batch at axis 0."""
OutputSpecs = Sequence[tuple[DTypeLike, Sequence[int]]]
"""For each output its dtype and its shape without the batch."""


@dataclass(frozen=True)
class Run:
    """``inferences`` samples through a network somewhere. None stands for what that place cannot measure.

    Instructions are exact counts of what an emulated core executed; cycles, milliseconds and energy are modelled from them by the target's
    coefficients. Nothing of the driver around the network is in any figure.
    """

    outputs: list[NDArray[Any]]
    inferences: int
    where: str
    """Name of the target, or of the runtime."""
    seconds: float
    """Time this computer took, start and reading included."""
    seconds_per_inference: float | None = None
    """Processor time in the network, where it runs natively."""
    instructions: tuple[int, ...] | None = None
    """Executed by each of the first inferences, as many as were counted."""
    instructions_per_layer: tuple[int, ...] | None = None
    """In the first inference of a build with markers between the layers; each marker adds its call, about two instructions."""
    instructions_per_function: Mapping[str, int] | None = None
    """In the first inference, by the function's name in C."""
    layer_names: tuple[str, ...] = ()
    startup_instructions: int | None = None
    """From reset until memory is set up: .data copied, .bss cleared."""
    cycles_modelled: int | None = None
    """Of the first inference."""
    cycles_range: tuple[int, int] | None = None
    """Least and most that a device may take, where the model of its cycles has a range."""
    cycles_per_layer: tuple[int, ...] | None = None
    moved_per_layer: Mapping[str, tuple[tuple[int, int], ...]] | None = None
    """Memory of the target → bytes that each layer read and wrote in the first inference, the fetch of instructions aside."""
    latency_modelled_ms: float | None = None
    energy_modelled_uj: float | None = None
    energy_range_uj: tuple[float, float] | None = None
    """Least and most, where the source of the coefficients gives a range."""
    peak_stack_bytes: int | None = None
    """Deepest use of the stack by the network, in all inferences."""
    sections: Mapping[str, int] | None = None
    """Bytes of the network in the linked program: code, library (what the compiler brought along), rodata, data, bss; other memories'."""
    symbols: Mapping[str, int] | None = None
    """Bytes of the network's functions and objects in the linked program, by their names in C."""
    footprint: Footprint | None = None
    """What was predicted before the build, where the pipeline asked for it."""
    notes: tuple[str, ...] = field(default=())

    @property
    def instructions_per_inference(self) -> int | None:
        """The mean over the inferences that were counted, rounded."""
        return None if self.instructions is None else round(sum(self.instructions) / len(self.instructions))

    @property
    def flash_bytes(self) -> int | None:
        """What the network keeps in flash, initial values of variables included."""
        return None if self.sections is None else sum(size for name, size in self.sections.items() if name.split()[0] != "bss")

    @property
    def ram_bytes(self) -> int | None:
        """Static variables, the arena among them, and the deepest stack."""
        if self.sections is None or self.peak_stack_bytes is None:
            return None
        held = sum(size for name, size in self.sections.items() if name.split()[0] in ("data", "bss"))
        return held + self.peak_stack_bytes


def batch_bytes(inputs: Arrays) -> tuple[int, list[int], bytes]:
    """Inferences in ``inputs``, bytes of each input, and all of it sample by sample, little endian. DataError where that cannot be."""
    if not inputs:
        raise DataError("no inputs were given", hint="give one array for each input of the network, the batch at axis 0")
    arrays = [np.asarray(array) for array in inputs]
    for index, array in enumerate(arrays):
        if array.dtype.kind not in "iu":
            raise DataError(
                f"input {index} is {array.dtype}, integer networks take integers", hint="quantize it with the input's scale and zero point"
            )
        if array.ndim < 1 or array.shape[0] != (arrays[0].shape or (0,))[0] or array.shape[0] == 0:
            raise DataError(
                f"input {index} has shape {array.shape}, which does not start with the batch of input 0",
                hint="give every input the same number of samples, at least one",
            )
    count = arrays[0].shape[0]
    rows = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(count, -1).view(np.uint8) for array in arrays]
    return count, [row.shape[1] for row in rows], np.concatenate(rows, axis=1).tobytes()


def split_outputs(data: bytes, count: int, outputs: OutputSpecs | None) -> list[NDArray[Any]]:
    """``data``, the outputs of ``count`` inferences one after the other, as arrays; as rows of bytes where ``outputs`` is None."""
    rows = np.frombuffer(data, np.uint8).reshape(count, -1)
    if outputs is None:
        return [rows.copy()]
    littles = [np.dtype(dtype).newbyteorder("<") for dtype, _ in outputs]
    sizes = [little.itemsize * math.prod(shape) for little, (_, shape) in zip(littles, outputs)]
    if sum(sizes) != rows.shape[1]:
        raise DataError(
            f"the network wrote {rows.shape[1]} bytes of output a sample, {sum(sizes)} were expected",
            hint="give dtype and shape of every output",
        )
    found: list[NDArray[Any]] = []
    start = 0
    for little, size, (dtype, shape) in zip(littles, sizes, outputs):
        part = np.ascontiguousarray(rows[:, start : start + size]).view(little)
        found.append(part.reshape(count, *shape).astype(dtype, copy=False))
        start += size
    return found
