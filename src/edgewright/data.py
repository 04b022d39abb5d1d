"""The user's data: calibration samples, and labels where accuracy is to be measured.

Every door to it is here: .npy and .npz files, folders of images or of wav files, Python functions, and arrays.
"""

from __future__ import annotations

import dataclasses
import importlib
import lzma
import os
import struct
import sys
import tokenize
import warnings
import wave
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import DataError, EdgewrightError
from edgewright.ir.graph import Graph, Shape

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")
MOST_BYTES = 1 << 34
"""Samples beyond this size are refused before they are read: a small file can claim any size."""
KINDS = "a .npy or .npz file, a folder of images or of wav files, or module:function"
# What numpy, zipfile, Pillow and wave raise on files that are damaged or made to harm.
_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, IndexError, EOFError, SyntaxError, RuntimeError, OverflowError, MemoryError, struct.error,
    tokenize.TokenError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zipfile.LargeZipFile, wave.Error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Data:
    """Samples as real numbers, one array for each network input, the batch at axis 0; ``labels`` (N,) class indices where known.

    ``targets`` (N, …): the reals that a regression should give, or text (words, sentences) for a metric of the user's own. ``groups`` (N,):
    what samples belong together (a user, a recording).
    """

    inputs: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64] | None = None
    source: str = ""
    targets: NDArray[np.float32] | NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None

    @property
    def reals(self) -> NDArray[np.float32] | None:
        """The targets, where they are numbers."""
        return None if self.targets is None or self.targets.dtype.kind == "U" else self.targets.astype(np.float32)

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.inputs[0].shape[0]) if self.inputs else 0

    def take(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> Data:
        """The samples at ``indices``."""
        labels = None if self.labels is None else self.labels[indices]
        targets = None if self.targets is None else self.targets[indices]
        groups = None if self.groups is None else self.groups[indices]
        return Data(tuple(array[indices] for array in self.inputs), labels, self.source, targets, groups)


def load_data(source: Any, graph: Graph) -> Data:
    """Samples for ``graph`` from ``source``.

    ``source``: a :class:`Data`; an array or a torch tensor; a sequence of arrays, one an input; a tuple (inputs, labels); a path to .npy
    (one input) or .npz (``inputs``, or one array named as each input, and optionally ``labels``, ``targets``, ``groups``); a folder of
    images (sub-folder names in sorted order are the classes) or of wav files; or ``"module:function"``, called without arguments and
    giving any of these.
    Arrays may be channels-first, and a single sample may come without its batch axis, where only that fits the network.
    DataError where nothing fits.
    """
    if isinstance(source, Data):
        return _beside(_fit(source.inputs, source.labels, graph, source.source or "the data"), source.targets, source.groups)
    if not isinstance(source, (str, os.PathLike)):
        return _from_values(source, graph, "the data")
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, graph)
    if not path.exists():
        if ":" in str(source):
            return _from_function(str(source), graph)
        raise DataError(f"there is no data at {path}", hint=f"give {KINDS}")
    if path.suffix.lower() == ".npy":
        return _fit((_read_npy(path),), None, graph, path.name)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, graph)
    raise DataError(f"{path} is not a kind of data that can be read", hint=f"give {KINDS}")


def _from_values(given: Any, graph: Graph, source: str) -> Data:
    """An array, a sequence of them, or (inputs, labels)."""
    labels = None
    if isinstance(given, tuple) and len(given) == 2 and not _takes_vectors(graph) and np.ndim(given[1]) == 1:
        given, labels = given[0], _as_array(given[1], source)
    arrays = list(given) if isinstance(given, (tuple, list)) else [given]
    return _fit([_as_array(array, source) for array in arrays], labels, graph, source)


def _takes_vectors(graph: Graph) -> bool:
    """Whether a one-dimensional second array could be the second input."""
    return len(graph.inputs) == 2 and graph.value(graph.inputs[1]).rank == 1


def _as_array(item: Any, source: str) -> NDArray[Any]:
    if hasattr(item, "detach"):
        item = item.detach().cpu()
    elif not hasattr(item, "__array__") and not isinstance(item, (list, tuple, int, float)):
        raise DataError(f"{source}: {type(item).__name__} is not an array", hint=f"give arrays, {KINDS}")
    try:
        return np.asarray(item)
    except _UNREADABLE as error:
        raise DataError(
            f"{source} cannot be taken as an array: {error}", hint="give one array for each input, the samples along axis 0"
        ) from error


def _fit(inputs: Sequence[NDArray[Any]], labels: NDArray[Any] | None, graph: Graph, source: str) -> Data:
    """Check shapes against the graph's inputs, moving channels last where only that fits."""
    if len(inputs) != len(graph.inputs):
        raise DataError(
            f"{source}: {len(inputs)} arrays, {graph.name!r} takes {len(graph.inputs)} inputs", hint=f"they are {', '.join(graph.inputs)}"
        )
    fitted = tuple(_fit_one(array, name, graph.value(name).shape, source) for name, array in zip(graph.inputs, inputs, strict=True))
    if not fitted or not len(fitted[0]):
        raise DataError(f"{source}: no samples", hint="a hundred samples or more calibrate well")
    batches = [graph.value(name).shape[0] or 1 for name in graph.inputs]
    for name, array, batch in zip(graph.inputs, fitted, batches, strict=True):
        if len(array) % batch:
            message = f"{source}: {len(array)} samples, input {name!r} of the network takes {batch} at a time"
            raise DataError(message, hint=f"give a multiple of {batch}")
    counts = sorted({len(array) // batch for array, batch in zip(fitted, batches, strict=True)})
    if len(counts) > 1:
        raise DataError(f"{source}: the inputs differ in their number of samples: {counts}", hint="axis 0 counts the samples")
    return Data(fitted, None if labels is None else _fit_labels(labels, len(fitted[0]), graph, source), source)


def _fit_labels(labels: NDArray[Any], count: int, graph: Graph, source: str) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    whole = labels.dtype.kind in "iu" or (labels.dtype.kind == "f" and bool(np.all(labels == np.floor(labels))))
    if labels.shape != (count,) or not whole:
        hint = "one whole number a sample; of one-hot rows take the argmax"
        raise DataError(f"{source}: labels are {labels.dtype}{list(labels.shape)}, expected {count} class indices", hint=hint)
    classes = graph.value(graph.outputs[0]).shape[1:]
    if len(classes) == 1 and (classes[0] or 0) > 1 and count and not 0 <= labels.min() <= labels.max() < (classes[0] or 0):
        raise DataError(
            f"{source}: labels go from {labels.min():g} to {labels.max():g}, the network tells {classes[0]} classes apart",
            hint="class indices count from 0, in the order of the network's outputs",
        )
    return labels.astype(np.int64)


def _fit_one(array: NDArray[Any], name: str, shape: Shape, source: str) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{source}: input {name!r} is {array.dtype}, expected numbers", hint="save float32 or integer arrays, without objects"
        )
    wanted = tuple(int(size or 0) for size in shape[1:])
    fitted = _arranged(array, wanted)
    if fitted is None:
        fitted = _arranged(array[np.newaxis], wanted)
    if fitted is None:
        raise DataError(
            f"{source}: input {name!r} has shape {list(array.shape)}, the network takes N x {' x '.join(map(str, wanted))}",
            hint="axis 0 counts the samples; images are height x width x channels",
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(fitted, dtype=np.float32)
    if not np.all(np.isfinite(result)):
        raise DataError(
            f"{source}: input {name!r} holds numbers that are not finite", hint="look for NaN and infinity, and drop those samples"
        )
    return result


def _arranged(array: NDArray[Any], wanted: tuple[int, ...]) -> NDArray[Any] | None:
    """``array`` (N, …) as (N, *wanted): as it is, with channels moved last, flat, or with axes of size 1 put in or left out; else None."""
    if array.ndim < 1:
        return None
    own = array.shape[1:]
    if own == wanted:
        return array
    if len(own) == len(wanted) > 1 and (*own[1:], own[0]) == wanted:
        return np.moveaxis(array, 1, -1)
    if [size for size in own if size != 1] == [size for size in wanted if size != 1] or own == (int(np.prod(wanted)),):
        return array.reshape(len(array), *wanted)
    return None


def _check_size(size_bytes: int, what: object) -> None:
    if size_bytes > MOST_BYTES:
        raise DataError(
            f"{what} holds {size_bytes / (1 << 30):.0f} GiB of samples", hint="a few hundred samples calibrate well; take a part of them"
        )


@contextmanager
def _reading(path: Path, hint: str) -> Iterator[None]:
    """What a damaged file raises becomes a DataError that names the file."""
    try:
        yield
    except EdgewrightError:
        raise
    except _UNREADABLE as error:
        reason = "too large for the memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
        raise DataError(f"cannot read {path}: {reason}", hint=hint) from error


def _read_npy(path: Path) -> NDArray[Any]:
    with _reading(path, "it must be an array saved by numpy.save, without objects"):
        # A mapped file is held against its own size, whatever its header claims.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise DataError(f"{path} is an .npz file", hint="name it so")
        _check_size(mapped.nbytes, path)
        return np.array(mapped)


def _from_npz(path: Path, graph: Graph) -> Data:
    with _reading(path, "it must be a file saved by numpy.savez, without objects"):
        with zipfile.ZipFile(path) as archive:
            _check_size(sum(entry.file_size for entry in archive.infolist()), path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
    key = next((key for key in ("labels", "y") if key in arrays and key not in graph.inputs), None)
    labels = None if key is None else arrays.pop(key)
    targets, groups = (arrays.pop(key, None) if key not in graph.inputs else None for key in ("targets", "groups"))
    alone = next((key for key in ("inputs", "x") if key in arrays), next(iter(arrays), None) if len(arrays) == 1 else None)
    if all(name in arrays for name in graph.inputs):
        inputs = [arrays[name] for name in graph.inputs]
    elif len(graph.inputs) == 1 and alone is not None:
        inputs = [arrays[alone]]
    else:
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}, the network's inputs are {', '.join(graph.inputs)}",
            hint="name the arrays as the inputs (or `inputs` where there is one), and `labels`",
        )
    return _beside(_fit(inputs, labels, graph, path.name), targets, groups)


def _beside(data: Data, targets: NDArray[Any] | None, groups: NDArray[Any] | None) -> Data:
    """``data`` with what else is known of each sample."""
    for what, array in (("targets", targets), ("groups", groups)):
        if array is not None and (array.ndim < 1 or len(array) != data.count or (what == "groups" and array.ndim != 1)):
            message = f"{data.source}: {what} are {array.dtype}{list(array.shape)} beside {data.count} samples"
            raise DataError(message, hint="one entry a sample along axis 0; groups have no other axis")
    text = targets is not None and targets.dtype.kind == "U"
    if targets is not None and not text and (targets.dtype.kind not in "fiub" or not np.all(np.isfinite(targets))):
        raise DataError(f"{data.source}: targets hold what is no finite number", hint="save finite numbers, or text as an array of str")
    found: Any = targets if targets is None else targets.astype(np.str_ if text else np.float32)
    return dataclasses.replace(data, targets=found, groups=None if groups is None else groups.astype(np.str_))


def _from_function(name: str, graph: Graph) -> Data:
    module_name, _, function_name = name.partition(":")
    hint = "give module:function, importable from the current folder or PYTHONPATH; or check the path"
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise DataError(f"there is no file {name}, and no such function: {error}", hint=hint) from error
    if not callable(function):
        raise DataError(f"{name} is no function", hint=hint)
    try:
        given = function()
    except EdgewrightError:
        raise
    except Exception as error:
        raise DataError(f"{name}() failed: {type(error).__name__}: {error}", hint="call it in Python to see where") from error
    if isinstance(given, (str, os.PathLike)) and not Path(given).exists():
        raise DataError(f"{name}() gave {str(given)!r}, which is no path", hint="let it give arrays, or the path of a file or folder")
    return load_data(given, graph) if isinstance(given, (str, os.PathLike, Data)) else _from_values(given, graph, name)


def _from_folder(path: Path, graph: Graph) -> Data:
    files = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in (*IMAGES, ".wav") and file.is_file() and not file.name.startswith(".")
    )
    sounds = [file for file in files if file.suffix.lower() == ".wav"]
    if not files:
        raise DataError(f"{path} holds no images and no wav files", hint=f"known endings: {', '.join(IMAGES)}, .wav")
    if sounds and len(sounds) < len(files):
        raise DataError(f"{path} holds {len(sounds)} wav files and {len(files) - len(sounds)} images", hint="one kind in one folder")
    if len(graph.inputs) != 1:
        raise DataError(
            f"a folder feeds one input, {graph.name!r} takes {len(graph.inputs)}", hint="save the samples as .npz, an array for each input"
        )
    value = graph.value(graph.inputs[0])
    _check_size(4 * value.elements * len(files), path)
    samples = np.stack(_read_sounds(files, value.shape) if sounds else [_read_image(file, value.shape) for file in files])
    classes = sorted({file.parent.name for file in files})
    labels = None
    if len(classes) > 1 and all(file.parent.parent == path for file in files):
        labels = np.asarray([classes.index(file.parent.name) for file in files])
    return _fit((samples,), labels, graph, str(path))


def _read_image(file: Path, shape: Shape) -> NDArray[np.float32]:
    """The image resized to the network's height and width, 0 … 255, as many channels as the network takes (1 or 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading images needs Pillow", hint="pip install 'edgewright[images]'") from error
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(f"the network takes {_shown(shape)}, which is no image", hint="images feed inputs of N x height x width x 1 or 3")
    height, width, channels = (int(size or 1) for size in shape[1:])
    with _reading(file, "is it a whole image? Open it with another program, or leave it out"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                fitted = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
                return np.asarray(fitted, np.float32).reshape(height, width, channels)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(str(error)) from error


def _read_sounds(files: Sequence[Path], shape: Shape) -> list[NDArray[np.float32]]:
    """The first channel of each file, cut or padded with silence to what the network takes; one sample rate for all."""
    wanted = [int(size or 1) for size in shape[1:]]
    length = int(np.prod(wanted))
    if max(wanted, default=1) != length:
        raise DataError(
            f"the network takes {_shown(shape)}, which is no waveform",
            hint="compute the features that it was trained on, and save them as .npz",
        )
    samples: list[NDArray[np.float32]] = []
    rates: dict[int, Path] = {}
    for file in files:
        reals, rate = _read_wav(file)
        rates.setdefault(rate, file)
        samples.append(np.pad(reals[:length], (0, max(0, length - len(reals)))).reshape(wanted))
    if len(rates) > 1:
        (first, one), (second, other) = list(rates.items())[:2]
        raise DataError(
            f"{one} has {first} samples a second, {other} has {second}", hint="resample them to the rate that the network was trained on"
        )
    return samples


def _read_wav(file: Path) -> tuple[NDArray[np.float32], int]:
    """The first channel as reals in [-1, 1), and samples a second."""
    with _reading(file, "PCM wav files can be read"), wave.open(str(file)) as sound:
        width, channels, rate = sound.getsampwidth(), sound.getnchannels(), sound.getframerate()
        _check_size(sound.getnframes() * channels * width, file)
        frames = sound.readframes(sound.getnframes())
        decode = _WAV_SAMPLES.get(width)
        if decode is None:
            raise DataError(f"{file} has {8 * width}-bit samples", hint="8, 16, 24 and 32 bits can be read")
        whole = decode(frames[: len(frames) // (width * channels) * width * channels])
        return whole.reshape(-1, channels)[:, 0].astype(np.float32), rate


def _24_bit(frames: bytes) -> NDArray[np.float64]:
    parts = np.frombuffer(frames, np.uint8).reshape(-1, 3).astype(np.int32)
    return ((parts[:, 2] << 24 | parts[:, 1] << 16 | parts[:, 0] << 8) / 2.0**31).astype(np.float64)


_WAV_SAMPLES: dict[int, Callable[[bytes], NDArray[np.float64]]] = {
    1: lambda frames: (np.frombuffer(frames, "u1").astype(np.float64) - 128) / 128,
    2: lambda frames: np.frombuffer(frames, "<i2") / 2.0**15,
    3: _24_bit,
    4: lambda frames: np.frombuffer(frames, "<i4") / 2.0**31,
}
"""By bytes a sample: to reals in [-1, 1)."""


def _shown(shape: Shape) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape)
