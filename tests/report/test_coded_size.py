"""Huffman codes: against the entropy, and as codes that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ops import Dense
from edgewright.report.coded_size import code_bytes, code_lengths, coded_size


@pytest.mark.parametrize("counts", [[1], [1, 1], [5, 1, 1], [8, 4, 2, 1, 1], [3, 3, 3], list(range(1, 40))])
def test_lengths_are_those_of_an_optimal_prefix_code(counts: list[int]) -> None:
    lengths = code_lengths(counts)
    assert sum(2.0**-length for length in lengths) == (1.0 if len(counts) > 1 else 0.5), "Kraft"
    shares = np.array(counts) / sum(counts)
    entropy = float(-(shares * np.log2(shares)).sum())
    mean = float((shares * lengths).sum())
    assert entropy - 1e-9 <= mean <= entropy + 1
    assert [lengths[i] for i in np.argsort(counts, kind="stable")] == sorted(lengths, reverse=True)


def test_sparse_numbers_take_less_than_one_code_of_all() -> None:
    rng = np.random.default_rng(0)
    array = np.where(rng.random(50_000) < 0.03, rng.integers(1, 5, 50_000), 0)
    bits = 50_000 * (0.03 * np.log2(4) - 0.03 * np.log2(0.03) - 0.97 * np.log2(0.97))
    assert bits / 8 < code_bytes(array) < 1.05 * bits / 8 + 512, "a code of single numbers takes a bit each, 6,250 bytes"


def test_long_gaps_and_nothing() -> None:
    alone = np.zeros(100_000, np.int8)
    assert code_bytes(alone) == 0
    alone[99_999] = 3
    assert code_bytes(alone) < 120


def test_a_graph_counts_scales_and_packed_types() -> None:
    b = GraphBuilder("net")
    x = b.input("x", (None, 8), DType.INT8, Quant.per_tensor(0.1))
    w = b.constant("w", np.zeros((4, 8), np.int8), dtype=DType.INT4, quant=Quant.per_axis(np.full(4, 0.1), 0, DType.INT4))
    graph = b.finish([b.node(Dense(), [x, w], quants=[Quant.per_tensor(0.1)])])
    size = coded_size(graph)
    assert size.plain == 16 + 4 * 4
    assert size.huffman == 16, "the scales alone: nothing is not zero"
    assert 16 < size.zlib <= size.plain
