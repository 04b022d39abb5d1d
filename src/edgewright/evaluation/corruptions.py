"""What the real world does to samples: noise, blur, gain, clipping, drift, gaps, each in five severities.

Severities of images follow the corruption benchmarks of Hendrycks and Dietterich (2019, arXiv:1903.12261) at the size of CIFAR-10. All are
relative: to the range of the data for images, to its standard deviation for features and time series.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from edgewright.data import Data
from edgewright.errors import RecipeError

Reals = NDArray[np.float32]
SEVERITIES = (1, 2, 3, 4, 5)
IMAGE_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Signal:
    """Samples as the corruptions see them: ``x`` (N, time or height, width or 1, channels), and what their numbers are relative to."""

    x: Reals
    low: float
    high: float
    deviation: float
    random: np.random.Generator

    @property
    def span(self) -> float:
        return self.high - self.low


Corruption = Callable[[Signal, int], Reals]
"""Called with the signal and the severity, 1 to 5; gives samples of the same shape."""


def _pick(*amounts: float) -> Callable[[int], float]:
    return lambda severity: amounts[severity - 1]


def _noise(amount: Callable[[int], float], of_span: bool) -> Corruption:
    def corrupt(signal: Signal, severity: int) -> Reals:
        size = amount(severity) * (signal.span if of_span else signal.deviation)
        return signal.x + signal.random.normal(0, size, signal.x.shape).astype(np.float32)

    return corrupt


def _blur(signal: Signal, severity: int) -> Reals:
    sigma = _pick(0.4, 0.6, 0.7, 0.8, 1.0)(severity) * max(1.0, signal.x.shape[1] / 32)
    blurred = signal.x
    for axis in (1, 2):
        blurred = gaussian_filter1d(blurred, sigma, axis=axis, mode="nearest")
    return np.asarray(blurred, np.float32)


def _brightness(signal: Signal, severity: int) -> Reals:
    return signal.x + np.float32(_pick(0.05, 0.1, 0.15, 0.2, 0.3)(severity) * signal.span)


def _contrast(signal: Signal, severity: int) -> Reals:
    mean = signal.x.mean(axis=(1, 2), keepdims=True)
    return np.asarray((signal.x - mean) * _pick(0.75, 0.5, 0.4, 0.3, 0.15)(severity) + mean, np.float32)


def _overexposure(signal: Signal, severity: int) -> Reals:
    """Gain into the limit of the range."""
    return np.asarray(signal.low + (signal.x - signal.low) * _pick(1.2, 1.5, 2.0, 2.5, 3.5)(severity), np.float32)


def _dead_pixels(signal: Signal, severity: int) -> Reals:
    dead = signal.random.random(signal.x.shape[:3]) < _pick(0.005, 0.01, 0.02, 0.04, 0.08)(severity)
    return np.where(dead[..., None], np.float32(signal.low), signal.x)


def _gain(signal: Signal, severity: int) -> Reals:
    """Every sample louder or quieter by a factor of its own."""
    most = _pick(0.1, 0.2, 0.35, 0.5, 0.7)(severity)
    return np.asarray(signal.x * signal.random.uniform(1 - most, 1 + most, (len(signal.x), 1, 1, 1)), np.float32)


def _level(signal: Signal, severity: int) -> Reals:
    """Another loudness: an offset, because features are logarithms."""
    most = _pick(0.25, 0.5, 0.75, 1.0, 1.5)(severity) * signal.deviation
    return np.asarray(signal.x + signal.random.uniform(-most, most, (len(signal.x), 1, 1, 1)), np.float32)


def _clipping(signal: Signal, severity: int) -> Reals:
    """The sensor's range ends too soon."""
    limit = np.quantile(np.abs(signal.x), _pick(0.99, 0.97, 0.94, 0.88, 0.8)(severity))
    return np.clip(signal.x, -limit, limit).astype(np.float32)


def _drift(signal: Signal, severity: int) -> Reals:
    """An offset that grows over the sample, up or down, for each channel."""
    most = _pick(0.2, 0.4, 0.7, 1.0, 1.5)(severity) * signal.deviation
    slope = signal.random.uniform(-most, most, (len(signal.x), 1, 1, signal.x.shape[3]))
    ramp = np.linspace(0, 1, signal.x.shape[1])[None, :, None, None]
    return np.asarray(signal.x + slope * ramp, np.float32)


def _gap(signal: Signal, severity: int) -> Reals:
    """A part of the time holds the last number before it: packets or frames were lost."""
    steps = signal.x.shape[1]
    length = max(1, round(_pick(0.03, 0.06, 0.1, 0.16, 0.25)(severity) * steps))
    found = signal.x.copy()
    for row, start in zip(found, signal.random.integers(0, max(1, steps - length + 1), len(found)), strict=True):
        row[start : start + length] = row[max(0, start - 1)]
    return found


def _shift(signal: Signal, severity: int) -> Reals:
    """Heard too early or too late; the edge is repeated."""
    steps = signal.x.shape[1]
    most = max(1, round(_pick(0.02, 0.04, 0.08, 0.12, 0.2)(severity) * steps))
    places = np.clip(np.arange(steps)[None] + signal.random.integers(-most, most + 1, (len(signal.x), 1)), 0, steps - 1)
    return np.take_along_axis(signal.x, places[:, :, None, None], axis=1)


def _band(signal: Signal, severity: int) -> Reals:
    """A band of frequencies is missing: it holds the mean of the data."""
    bands = signal.x.shape[2]
    width = max(1, round(_pick(0.05, 0.1, 0.15, 0.2, 0.3)(severity) * bands))
    found, mean = signal.x.copy(), np.float32(signal.x.mean())
    for row, start in zip(found, signal.random.integers(0, max(1, bands - width + 1), len(found)), strict=True):
        row[:, start : start + width] = mean
    return found


CORRUPTIONS: Mapping[str, Mapping[str, Corruption]] = {
    "image": {
        "noise": _noise(_pick(0.04, 0.06, 0.08, 0.09, 0.10), True),
        "blur": _blur,
        "brightness": _brightness,
        "contrast": _contrast,
        "overexposure": _overexposure,
        "dead_pixels": _dead_pixels,
    },
    "features": {
        "noise": _noise(_pick(0.1, 0.2, 0.3, 0.45, 0.6), False),
        "level": _level,
        "shift": _shift,
        "gap": _gap,
        "missing_band": _band,
    },
    "series": {
        "noise": _noise(_pick(0.05, 0.1, 0.2, 0.35, 0.5), False),
        "gain": _gain,
        "clipping": _clipping,
        "drift": _drift,
        "gap": _gap,
    },
}
"""Kind of data → scenario → function. Features are spectra or cepstra over time: time along axis 1, bands along axis 2."""


def kind_of(data: Data) -> str:
    """The kind of input 0, by its shape and numbers: images hold pixel values (0 … 255, or all within -1 … 1), the rest is time."""
    x = data.inputs[0]
    shape = [size for size in x.shape[1:] if size > 1]
    square = x.ndim == 4 and min(x.shape[1:3]) >= 8 and x.shape[3] in IMAGE_CHANNELS
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    pixels = (low >= 0 and 1 < high <= 255 and bool(np.all(x == np.rint(x)))) or (low >= -1.0 and high <= 1.0)
    if square and (x.shape[3] == 3 or pixels):
        return "image"
    return "features" if len(shape) == 2 and x.shape[-1] == 1 else "series"


def corrupt(data: Data, kind: str, name: str, severity: int, seed: int = 0) -> Data:
    """``data`` with input 0 as scenario ``name`` of ``kind`` leaves it; images stay within the range of the data."""
    if kind not in CORRUPTIONS or name not in CORRUPTIONS[kind] or severity not in SEVERITIES:
        known = ", ".join(f"{one}: {'/'.join(names)}" for one, names in CORRUPTIONS.items())
        raise RecipeError(f"there is no corruption {name!r} of {kind!r} with severity {severity}", hint=f"{known}; severities 1 to 5")
    x = data.inputs[0]
    shape = x.shape if x.ndim == 4 else (len(x), x.shape[1] if x.ndim > 1 else 1, 1, int(np.prod(x.shape[2:])))
    if kind == "series" and x.ndim == 4 and x.shape[1] == 1:
        shape = (len(x), x.shape[2], 1, x.shape[3])
    if kind == "features" and x.ndim == 4 and x.shape[3] > 1 and x.shape[1] == 1:
        shape = (len(x), x.shape[2], x.shape[3], 1)
    laid = x.reshape(shape)
    order = [*CORRUPTIONS[kind]].index(name)
    random = np.random.default_rng([seed, order, severity])
    signal = Signal(laid, float(laid.min()), float(laid.max()), float(laid.std()), random)
    changed = CORRUPTIONS[kind][name](signal, severity)
    if kind == "image":
        changed = np.clip(changed, signal.low, signal.high)
    first = np.ascontiguousarray(changed.astype(np.float32).reshape(x.shape))
    return dataclasses.replace(data, inputs=(first, *data.inputs[1:]))
