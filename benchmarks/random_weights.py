"""Random weights of few values, and pruned ones, with the structure that says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgewright.ir.graph import Structure

Int8 = npt.NDArray[np.int8]
Form = Callable[[np.random.Generator, tuple[int, ...]], tuple[npt.NDArray[np.generic], Structure | None]]


def any_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Int8, Structure | None]:
    """A byte each."""
    return np.clip(rng.normal(0, 45, shape), -127, 127).astype(np.int8), None


def wide_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int16], Structure | None]:
    """Two bytes each."""
    return np.clip(rng.normal(0, 11000, shape), -32767, 32767).astype(np.int16), None


def few_values(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Int8, Structure | None]:
    """Of 1, 2 or 4 bits, or from a codebook, whose values lie evenly apart as often as not."""
    bits = int(rng.choice([1, 2, 4]))
    if rng.integers(2):
        half = 1 << bits - 1
        return rng.integers(-half, half, shape).astype(np.int8), Structure(bits=bits)
    count = int(rng.integers((1 << bits - 1) + 1, (1 << bits) + 1))
    even = rng.integers(-60, -20) + np.arange(count) * int(rng.integers(1, 11))
    book = (even if rng.integers(2) else rng.choice(np.arange(-127, 128), count, replace=False)).astype(np.int8)
    return rng.choice(book, shape), Structure(codebook=np.sort(book))


def pruned(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Int8, Structure | None]:
    """1 to 40 % are left, a few more often than many, in some layers most of them in a few rows; a third has few values besides."""
    share = float(10 ** rng.uniform(-2, -0.4)) * (rng.uniform(0, 2, (shape[0],) + (1,) * (len(shape) - 1)) if rng.integers(3) == 0 else 1.0)
    mask = rng.random(shape) < share
    if rng.integers(3):
        return np.where(mask, any_weights(rng, shape)[0], 0).astype(np.int8), Structure(mask=mask)
    book = np.arange(-1, 2) if rng.integers(2) else np.arange(-4, 4)
    return np.where(mask, rng.choice(book, shape), 0).astype(np.int8), Structure(mask=mask, codebook=book.astype(np.int8))
