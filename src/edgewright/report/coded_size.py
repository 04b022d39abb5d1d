"""What the constants of a network would take if they were entropy coded: the measure of Deep Compression, beside the real bytes."""

from __future__ import annotations

import heapq
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.graph import Graph

LONGEST_GAP = 255
"""Zeros that one symbol of a gap can stand for; a longer run takes several."""
SYMBOL_BYTES = 2
"""Of a symbol in a code's table: itself and the length of its code."""


@dataclass(frozen=True)
class CodedSize:
    """Bytes of all constants. ``plain``: packed to their element types; ``huffman``: each by the better of two codes, of its numbers
    or of gaps and what is not zero, tables included; ``zlib``: what deflate makes of the bytes. Scales (float32) count in all three."""

    plain: int
    huffman: int
    zlib: int


def coded_size(graph: Graph) -> CodedSize:
    """The sizes of ``graph``'s constants, whatever its level."""
    plain = huffman = deflated = 0
    for name, constant in graph.constants.items():
        value = graph.value(name)
        scales = 0 if value.quant is None or not value.dtype.is_integer else 4 * len(value.quant.scale)
        raw = constant.array.tobytes()
        plain += scales + value.bytes
        huffman += scales + min(value.bytes, code_bytes(constant.array))
        deflated += scales + min(value.bytes, len(zlib.compress(raw, 9)))
    return CodedSize(plain, huffman, deflated)


def code_bytes(array: NDArray[np.generic]) -> int:
    """Bytes of ``array`` in the better of the two codes."""
    flat = array.reshape(-1)
    return min(_huffman(flat), _sparse(flat))


def _sparse(flat: NDArray[np.generic]) -> int:
    """Gaps and non-zero numbers, each with a code of their own; a gap of LONGEST_GAP is followed by another, not by a number."""
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    symbols = np.concatenate([gaps % LONGEST_GAP, np.full(int((gaps // LONGEST_GAP).sum()), LONGEST_GAP)])
    return _huffman(flat[places]) + _huffman(symbols)


def _huffman(symbols: NDArray[np.generic]) -> int:
    """Bytes of ``symbols`` in their own optimal prefix code, with its table."""
    if not symbols.size:
        return 0
    _, counts = np.unique(symbols, return_counts=True)
    bits = sum(int(length) * int(count) for length, count in zip(code_lengths(counts.tolist()), counts, strict=True))
    return -(-bits // 8) + SYMBOL_BYTES * len(counts)


def code_lengths(counts: list[int]) -> list[int]:
    """Huffman: bits of each symbol's code for its ``counts``; one symbol alone takes a bit."""
    if len(counts) == 1:
        return [1]
    parents: dict[int, int] = {}
    heap = [(count, index) for index, count in enumerate(counts)]
    heapq.heapify(heap)
    fresh = len(counts)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        parents[first[1]] = parents[second[1]] = fresh
        heapq.heappush(heap, (first[0] + second[0], fresh))
        fresh += 1
    lengths = {fresh - 1: 0}
    for node in range(fresh - 2, -1, -1):
        lengths[node] = lengths[parents[node]] + 1
    return [lengths[index] for index in range(len(counts))]
