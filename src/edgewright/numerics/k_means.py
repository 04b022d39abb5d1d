"""Clusters of numbers on a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ROUNDS = 200


def k_means(numbers: FloatArray, clusters: int) -> FloatArray:
    """At most ``clusters`` centres, ascending, of the least squared error that two starts lead to: evenly spread, and by quantiles."""
    numbers = np.sort(numbers)
    if len(distinct := np.unique(numbers)) <= clusters:
        return distinct
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (numbers, np.square(numbers)))
    starts = (np.linspace(numbers[0], numbers[-1], clusters), np.quantile(numbers, (np.arange(clusters) + 0.5) / clusters))
    found = []
    for start in starts:
        edges = _settled(numbers, sums, np.unique(start))
        while len(edges) <= clusters:  # An empty cluster is no loss to bear: the worst one is split.
            errors = _errors(sums, squares, edges)
            worst = int(errors.argmax())
            middle = edges[worst] + max(1, int(np.searchsorted(numbers[edges[worst] : edges[worst + 1]], _means(sums, edges)[worst])))
            edges = _settled(numbers, sums, _means(sums, np.insert(edges, worst + 1, middle)))
        found.append((float(_errors(sums, squares, edges).sum()), _means(sums, edges)))
    return min(found, key=lambda pair: pair[0])[1]


def _settled(numbers: FloatArray, sums: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    """Where the clusters of sorted ``numbers`` begin, and the last one ends, once centres and members agree."""
    edges = np.zeros(0, np.int64)
    for _ in range(ROUNDS):
        inner = np.searchsorted(numbers, (centres[1:] + centres[:-1]) / 2)
        new = np.unique(np.concatenate([[0], inner, [len(numbers)]])).astype(np.int64)
        if np.array_equal(new, edges):
            break
        edges, centres = new, _means(sums, new)
    return edges


def _means(sums: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    means: FloatArray = np.diff(sums[edges]) / np.diff(edges)
    return means


def _errors(sums: FloatArray, squares: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    errors: FloatArray = np.diff(squares[edges]) - np.square(np.diff(sums[edges])) / np.diff(edges)
    return errors
