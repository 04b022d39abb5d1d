"""Weights and biases in the order and form in which the kernels read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.targets.stored import Stored

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]


def fold_zero_point(weight: NDArray[np.generic], bias: NDArray[np.generic] | None, zero_point: int) -> Int32:
    """bias - zero_point * sum(weights) for each output channel (axis 0), wrapped to 32 bits as the accumulator wraps."""
    sums = weight.reshape(weight.shape[0], -1).astype(np.int64).sum(1)
    folded = (0 if bias is None else bias.astype(np.int64)) - zero_point * sums
    wrapped: Int32 = (folded & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    return wrapped


def plain_bias(bias: NDArray[np.generic] | None, channels: int) -> Int32:
    """The bias as it is, or zeros."""
    return np.zeros(channels, np.int32) if bias is None else bias.astype(np.int32)


def interleave_rows(rows: Int8, block: int) -> Int8:
    """Rows (n, length) in blocks of ``block``: byte 0 of each row of a block, byte 1 of each, …; rows left over follow one by one."""
    whole = rows.shape[0] // block * block
    blocks = rows[:whole].reshape(-1, block, rows.shape[1]).transpose(0, 2, 1)
    return np.concatenate([blocks.reshape(-1), rows[whole:].reshape(-1)])


def pack_indices(units: Sequence[NDArray[np.generic]], packing: Stored) -> NDArray[np.uint8]:
    """Weights as indices, each of ``units`` from a word on. Of four bytes the lowest bits are the first four indices, and so on."""
    values = np.array(packing.values)
    parts = []
    for unit in units:
        index = np.minimum(np.searchsorted(values, unit), len(values) - 1)
        if not np.array_equal(values[index], unit):
            raise ModelError("weights have values that their structure lacks", hint="the model is inconsistent; check how it was made")
        padded = np.zeros(packing.unpacked_bytes(len(unit)), np.uint8)
        padded[: len(unit)] = index
        shifts = np.arange(0, 8, packing.bits, dtype=np.uint8)
        parts.append(np.bitwise_or.reduce(padded.reshape(-1, len(shifts), 4) << shifts[None, :, None], axis=1).reshape(-1).astype(np.uint8))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def units_of(rows: NDArray[np.generic], groups: int, many: int, length: int) -> list[NDArray[np.generic]]:
    """``rows``, in the order of a kernel that takes ``many`` rows of ``length`` at once, cut there: in each group units, then rows."""
    count = rows.size // max(1, length) // groups
    sizes = ([many * length] * (count // many) + [length] * (count % many)) * groups
    return np.split(rows.reshape(-1), np.cumsum(sizes)[:-1]) if sizes else []


def pack_portable(weight: NDArray[np.generic], groups: int) -> Int8:
    """OHWI weights for the portable convolution: each group in blocks of four output channels."""
    parts = np.split(weight.astype(np.int8).reshape(weight.shape[0], -1), groups)
    return np.concatenate([interleave_rows(part, 4) for part in parts])


def fill_rows(weight: NDArray[np.generic], fill: int) -> Int8:
    """Weights (O, …) as rows that are filled up to fours with ``fill``: (O, length)."""
    rows = weight.astype(np.int8).reshape(weight.shape[0], -1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)), constant_values=fill)


def pack_simd(weight: NDArray[np.generic], groups: int, fill: int = 0) -> Int8:
    """OHWI weights for the convolution with DSP instructions: in each group pairs of output channels, then an odd last one.

    Rows are filled up to fours with ``fill``. A pair has for each four steps the bytes
    first[0] second[0] first[2] second[2] first[1] second[1] first[3] second[3].
    """
    padded = fill_rows(weight, fill)
    parts = []
    for part in np.split(padded, groups):
        pairs = part[: part.shape[0] // 2 * 2].reshape(-1, 2, padded.shape[1] // 4, 4)
        parts += [pairs.transpose(0, 2, 3, 1)[:, :, [0, 2, 1, 3]].reshape(-1), part[part.shape[0] // 2 * 2 :].reshape(-1)]
    return np.concatenate(parts)


def pack_dense_simd(weight: NDArray[np.generic]) -> Int8:
    """(outputs, inputs) weights for the dense layer on one vector with DSP instructions: blocks of four rows, then the rows left over.

    A block has for each four inputs the bytes r0[0] r1[0] r0[2] r1[2], r0[1] r1[1] r0[3] r1[3] and the same of r2 and r3, where 128 is
    added to those of r0 and r2: a half of a word is r0 + 128 + 256 * r1. The inputs left over follow as r0[k] r1[k] r2[k] r3[k].
    """
    rows = weight.astype(np.int8)
    blocks, inputs, left = rows.shape[0] // 4, rows.shape[1] // 4 * 4, rows.shape[1] % 4
    words = rows[: 4 * blocks, :inputs].copy()
    words[::2] ^= -128
    pairs = words.reshape(blocks, 2, 2, inputs // 4, 4).transpose(0, 3, 1, 4, 2)[:, :, :, [0, 2, 1, 3]]
    rest = rows[: 4 * blocks, inputs:].reshape(blocks, 4, left).transpose(0, 2, 1)
    packed = np.concatenate([pairs.reshape(blocks, 4 * inputs), rest.reshape(blocks, 4 * left)], 1)
    return np.concatenate([packed.reshape(-1), rows[4 * blocks :].reshape(-1)])


def pack_wide(weight: Int8, groups: int) -> Int8:
    """OHWI weights beside int16 activations, with DSP instructions: in each group pairs of output channels, then an odd last one.

    Rows are padded with zeros to fours, of each four stand the bytes 0, 2, 1, 3; a pair has those of the first row, then of the second.
    """
    rows = weight.reshape(weight.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    fours = padded.reshape(groups, -1, padded.shape[1] // 4, 4)[..., [0, 2, 1, 3]]
    parts = []
    for part in fours:
        even = len(part) // 2 * 2
        pairs = part[:even].reshape(-1, 2, *part.shape[1:]).transpose(0, 2, 1, 3)
        parts += [pairs.reshape(-1), part[even:].reshape(-1)]
    return np.concatenate(parts)


def pack_fours(weight: Int8) -> Int8:
    """(channels, kh, kw, 1) weights: tap by tap the bytes 0, 2, 1, 3 of four channels, then the channels left over as they are."""
    rows = weight.reshape(weight.shape[0], -1)
    whole = rows.shape[0] // 4 * 4
    blocks = rows[:whole].reshape(-1, 4, rows.shape[1])[:, [0, 2, 1, 3]].transpose(0, 2, 1)
    return np.concatenate([blocks.reshape(-1), rows[whole:].reshape(-1)])
