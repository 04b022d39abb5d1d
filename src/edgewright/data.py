"""The user's data: calibration samples, and labels where accuracy is to be measured.

Every door to it is here: .npy and .npz files, folders of images or of wav files, Python functions, and arrays.
"""

from __future__ import annotations

import importlib
import wave
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import DataError
from edgewright.ir.graph import Graph, Shape

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")
MAX_FILES = 100_000


@dataclass(frozen=True, eq=False)
class Data:
    """Samples as real numbers, one array for each network input, the batch at axis 0; ``labels`` (N,) class indices where known."""

    inputs: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64] | None = None
    source: str = ""

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.inputs[0].shape[0]) if self.inputs else 0

    def take(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> Data:
        """The samples at ``indices``."""
        return Data(tuple(array[indices] for array in self.inputs), None if self.labels is None else self.labels[indices], self.source)


def load_data(source: Any, graph: Graph) -> Data:
    """Samples for ``graph`` from ``source``.

    ``source``: a :class:`Data`; an array, or a sequence of arrays (one an input); a path to .npy (one input) or .npz (``inputs``, or one array named as
    each input, and optionally ``labels``); a folder of images (sub-folder names in sorted order are the classes) or of wav files; or
    ``"module:function"``, called without arguments and giving any of these.
    Arrays may be channels-first where only that fits the network. DataError where nothing fits.
    """
    if isinstance(source, Data):
        return _fit(source.inputs, source.labels, graph, source.source)
    if isinstance(source, np.ndarray):
        return _fit((source,), None, graph, "array")
    if isinstance(source, (list, tuple)):
        return _fit(tuple(np.asarray(array) for array in source), None, graph, "arrays")
    if not isinstance(source, (str, Path)):
        raise DataError(f"data of type {type(source).__name__} cannot be used", hint="give arrays, a path, or module:function")
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, graph)
    if not path.exists() and ":" in str(source):
        return _from_function(str(source), graph)
    if path.suffix == ".npy":
        return _fit((_read_numpy(path),), None, graph, path.name)
    if path.suffix == ".npz":
        return _from_npz(path, graph)
    if not path.exists():
        raise DataError(f"there is no data at {path}", hint="give a .npy or .npz file, a folder of images or of wav files, or module:function")
    raise DataError(f"{path} is not a kind of data that can be read", hint="give a .npy or .npz file, a folder of images or of wav files, or module:function")


def _fit(inputs: Sequence[NDArray[Any]], labels: NDArray[Any] | None, graph: Graph, source: str) -> Data:
    """Check shapes against the graph's inputs, moving channels last where only that fits."""
    if len(inputs) != len(graph.inputs):
        raise DataError(f"{source} holds {len(inputs)} arrays, {graph.name!r} takes {len(graph.inputs)} inputs", hint=f"they are {', '.join(graph.inputs)}")
    fitted = tuple(_fit_one(array, name, graph.value(name).shape, source) for name, array in zip(graph.inputs, inputs, strict=True))
    counts = {len(array) for array in fitted}
    if len(counts) > 1:
        raise DataError(f"{source}: the inputs differ in their number of samples: {sorted(counts)}")
    if not fitted or not len(fitted[0]):
        raise DataError(f"{source} holds no samples", hint="a hundred samples or more calibrate well")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(fitted[0]),) or labels.dtype.kind not in "iu":
            raise DataError(f"{source}: labels are {labels.dtype}{list(labels.shape)}, expected {len(fitted[0])} class indices")
        labels = labels.astype(np.int64)
    return Data(fitted, labels, source)


def _fit_one(array: NDArray[Any], name: str, shape: Shape, source: str) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{source}: input {name!r} is {array.dtype}, expected numbers")
    wanted = shape[1:]
    if array.shape[1:] == wanted:
        fitted = array
    elif array.ndim == len(shape) and array.ndim > 2 and (*array.shape[2:], array.shape[1]) == wanted:
        fitted = np.moveaxis(array, 1, -1)
    elif array.ndim == len(shape) - 1 and array.shape == wanted[: array.ndim] and wanted[-1] != 1:
        fitted = array[np.newaxis]
    elif int(np.prod(array.shape[1:])) == int(np.prod([size or 1 for size in wanted])) and 1 in (*wanted, *array.shape[1:]):
        fitted = array.reshape(len(array), *(size or 1 for size in wanted))
    else:
        raise DataError(f"{source}: input {name!r} has shape {list(array.shape)}, the network takes N x {' x '.join(map(str, wanted))}",
                        hint="axis 0 counts the samples; images are height x width x channels")
    result = np.ascontiguousarray(fitted, dtype=np.float32)
    if not np.all(np.isfinite(result)):
        raise DataError(f"{source}: input {name!r} holds numbers that are not finite")
    return result


def _read_numpy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="it must be an array saved by numpy.save, without objects") from error


def _from_npz(path: Path, graph: Graph) -> Data:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="it must be a file saved by numpy.savez, without objects") from error
    labels = arrays.pop("labels", arrays.pop("y", None))
    if all(name in arrays for name in graph.inputs):
        inputs = [arrays[name] for name in graph.inputs]
    elif len(graph.inputs) == 1 and (len(arrays) == 1 or {"inputs", "x"} & set(arrays)):
        inputs = [arrays[next((key for key in ("inputs", "x") if key in arrays), next(iter(arrays)))]]
    else:
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}, the network's inputs are {', '.join(graph.inputs)}",
                        hint="name the arrays as the inputs (or `inputs` where there is one), and `labels`")
    return _fit(inputs, labels, graph, path.name)


def _from_function(name: str, graph: Graph) -> Data:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"cannot find {name}: {error}", hint="module:function, importable from the current folder (PYTHONPATH)") from error
    given = function()
    if isinstance(given, tuple) and len(given) == 2 and np.asarray(given[1]).ndim == 1 and np.asarray(given[1]).dtype.kind in "iu":
        inputs = given[0] if isinstance(given[0], (list, tuple)) else (given[0],)
        return _fit([np.asarray(array) for array in inputs], np.asarray(given[1]), graph, name)
    return load_data(given, graph)


def _from_folder(path: Path, graph: Graph) -> Data:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in (*IMAGES, ".wav"))[:MAX_FILES]
    if not files:
        raise DataError(f"{path} holds no images and no wav files", hint=f"known endings: {', '.join(IMAGES)}, .wav")
    if len(graph.inputs) != 1:
        raise DataError(f"a folder feeds one input, {graph.name!r} takes {len(graph.inputs)}", hint="save the samples as .npz, an array for each input")
    shape = graph.value(graph.inputs[0]).shape
    sound = files[0].suffix.lower() == ".wav"
    samples = np.stack([_read_wav(file, shape) if sound else _read_image(file, shape) for file in files])
    classes = sorted({file.parent.name for file in files})
    labels = None
    if len(classes) > 1 and all(file.parent.parent == path for file in files):
        labels = np.asarray([classes.index(file.parent.name) for file in files])
    return _fit((samples,), labels, graph, str(path))


def _read_image(file: Path, shape: Shape) -> NDArray[np.float32]:
    """The image resized to the network's height and width, 0 … 255, as many channels as the network takes (1 or 3)."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DataError("reading images needs Pillow", hint="pip install 'edgewright[images]'") from error
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(f"the network takes {shape}, which is no image", hint="images feed inputs of N x height x width x 1 or 3")
    try:
        with Image.open(file) as image:
            fitted = image.convert("L" if shape[3] == 1 else "RGB").resize((int(shape[2] or 1), int(shape[1] or 1)), Image.Resampling.BILINEAR)
            return np.asarray(fitted, np.float32).reshape(int(shape[1] or 1), int(shape[2] or 1), int(shape[3]))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read {file}: {error}") from error


def _read_wav(file: Path, shape: Shape) -> NDArray[np.float32]:
    """The samples as reals in [-1, 1), the first channel, cut or padded with silence to what the network takes."""
    try:
        with wave.open(str(file)) as sound:
            width, channels = sound.getsampwidth(), sound.getnchannels()
            frames = sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"cannot read {file}: {error}", hint="PCM wav files can be read") from error
    if width not in (1, 2, 4):
        raise DataError(f"{file} has {8 * width}-bit samples", hint="8, 16 and 32 bits can be read")
    kind = {1: np.dtype("u1"), 2: np.dtype("<i2"), 4: np.dtype("<i4")}[width]
    whole = np.frombuffer(frames[: len(frames) // (width * channels) * width * channels], kind).reshape(-1, channels)[:, 0].astype(np.float64)
    reals = ((whole - 128) / 128 if width == 1 else whole / 2.0 ** (8 * width - 1)).astype(np.float32)
    wanted = [int(size or 1) for size in shape[1:]]
    length = int(np.prod(wanted))
    return np.pad(reals[:length], (0, max(0, length - len(reals)))).reshape(wanted)
