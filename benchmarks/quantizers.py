"""Quantization by several tools, the same networks and the same calibration samples, no labels: accuracy, bytes and seconds.

Ours by the integer arithmetic of the device; ONNX Runtime's and NNCF's files in float on the quantized values, so that the runtime's own
int8 kernels play no part; ai-edge-quantizer's .tflite by the device's arithmetic. ResNet-8 (ic_float), a convolutional network of
Fashion-MNIST trained here, the spoken digits of the examples, and MobileNetV2 and EfficientNet-Lite0 of ImageNet with a head for CIFAR-10.
"gap closed" is the share of the accuracy that nearest rounding with minmax scales loses and the method does not.

NNCF and ai-edge-quantizer each run in an environment of their own: python -m venv CACHE/peers/nncf, there pip install nncf (or
ai-edge-quantizer); CACHE is what benchmarks.fetch.cache_folder() says.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnxruntime.quantization import QuantType, quantize_static
from torch import nn

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10, fashion_mnist
from benchmarks.fetch import cache_folder
from benchmarks.quantization import Reader
from benchmarks.transfer import samples, transferred
from edgewright.data import Data, load_data
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import EdgewrightError, UnsupportedError
from edgewright.evaluation.outputs import real_outputs
from edgewright.ir.graph import Graph
from edgewright.recipe import Recipe, load_recipe
from edgewright.run.onnxruntime import run_onnxruntime

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "spoken_digits"
SCRIPTS = Path(__file__).resolve().parent / "peers"
MOST_SECONDS = 1800


@dataclass(frozen=True)
class Subject:
    """A float network, samples to calibrate on, and labelled ones to judge by."""

    name: str
    graph: Graph
    calibration: Data
    test: Data

    def accuracy(self, outputs: npt.NDArray[np.generic]) -> float:
        """In percent."""
        return 100 * float(np.mean(np.asarray(outputs).reshape(self.test.count, -1).argmax(1) == self.test.labels))


def resnet8() -> Subject:
    """MLPerf Tiny's, on its 10,000 test images."""
    cifar = cifar10()
    test = Data((cifar.test_inputs.astype(np.float32),), cifar.test_labels)
    calibration = Data((cifar.train_inputs[:500].astype(np.float32),))
    return Subject("ResNet-8, CIFAR-10", edgewright.load(model_path("mlperf_tiny/ic_float.tflite")), calibration, test)


def fashion() -> Subject:
    """Three convolutions and a dense layer, 56,714 weights, two epochs of 20,000 images (seed 0)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, out, stride in ((1, 16, 1), (16, 32, 2), (32, 64, 2), (64, 64, 2)):
        layers += [nn.Conv2d(channels, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU()]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    data = fashion_mnist()
    images = torch.from_numpy(data.train_inputs[:20_000].astype(np.float32) / 255).permute(0, 3, 1, 2)
    labels = torch.from_numpy(data.train_labels[:20_000])
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    for _ in range(2):
        for chosen in torch.randperm(len(images)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    graph = edgewright.load(module.eval(), (torch.zeros(1, 1, 28, 28),))
    held = Data((data.train_inputs[20_000:20_500].astype(np.float32) / 255,))
    return Subject("Fashion-MNIST", graph, held, Data((data.test_inputs.astype(np.float32) / 255,), data.test_labels))


def spoken_digits() -> Subject:
    """The separable network of the examples, on utterances that it was not trained on."""
    graph = edgewright.load(EXAMPLE / "spoken_digits.onnx")
    return Subject("spoken digits", graph, load_data(EXAMPLE / "calibration.npz", graph), load_data(EXAMPLE / "test.npz", graph))


def _transferred(name: str, title: str) -> Subject:
    cifar = cifar10()
    calibration, test = samples(name, cifar.train_inputs[40_000:40_256]), samples(name, cifar.test_inputs[:1000], cifar.test_labels[:1000])
    return Subject(title, transferred(name), calibration, test)


SUBJECTS: Mapping[str, Callable[[], Subject]] = {
    "resnet8": resnet8,
    "fashion": fashion,
    "spoken_digits": spoken_digits,
    "mobilenet_v2": lambda: _transferred("mobilenet_v2", "MobileNetV2 96, CIFAR-10"),
    "efficientnet_lite0": lambda: _transferred("efficientnet_lite0", "EfficientNet-Lite0 96, CIFAR-10"),
}


def rows(names: tuple[str, ...] = tuple(SUBJECTS)) -> list[dict[str, object]]:
    """One row a network, width and method."""
    return [row for name in names for row in measure(SUBJECTS[name]())]


def measure(subject: Subject) -> list[dict[str, object]]:
    """The float network, then every method at W8A8, then at W4A8."""
    reference = subject.accuracy(real_outputs(subject.graph, subject.test)[0])
    found: list[dict[str, object]] = [{"network": subject.name, "method": "float", "accuracy %": round(reference, 2)}]
    for bits in (8, 4):
        base: float | None = None
        for method, run in _methods(bits).items():
            row: dict[str, object] = {"network": subject.name, "width": f"w{bits}a8", "method": method}
            try:
                accuracy, size, seconds = run(subject)
            except (OSError, subprocess.SubprocessError, RuntimeError, EdgewrightError) as problem:
                found.append(row | {"why not": str(problem).strip().splitlines()[-1][:90]})
                continue
            base = accuracy if base is None else base
            row |= {"accuracy %": round(accuracy, 2), "against float": round(accuracy - reference, 2), "bytes": size}
            if bits == 4 and reference > base and accuracy != base:
                row["gap closed %"] = round(100 * (accuracy - base) / (reference - base), 1)
            found.append(row | {"seconds": round(seconds, 1)})
    return found


Outcome = tuple[float, int, float]
"""Accuracy in percent, bytes of the file, seconds."""


def _methods(bits: int) -> dict[str, Callable[[Subject], Outcome]]:
    plain = load_recipe("w8a8").with_options("quantize_static", weight_bits=bits)
    rounded = load_recipe("w8a8-rounded" if bits == 8 else "w4a8")
    return {
        "edgewright, nearest integers": lambda subject: _ours(subject, plain),
        "edgewright, rounded by outputs": lambda subject: _ours(subject, rounded),
        "ONNX Runtime": lambda subject: _onnxruntime(subject, bits),
        "ai-edge-quantizer": lambda subject: _ai_edge(subject, bits),
    } | ({"NNCF": _nncf} if bits == 8 else {})


def _ours(subject: Subject, recipe: Recipe) -> Outcome:
    started = time.perf_counter()
    graph = edgewright.optimize(subject.graph, recipe=recipe, data=subject.calibration, formats=["tflite"]).graph
    seconds = time.perf_counter() - started
    size = sum(map(len, emit_tflite(graph).values()))
    return subject.accuracy(real_outputs(graph, subject.test)[0]), size, seconds


def _channels_first(subject: Subject) -> npt.NDArray[np.float32]:
    array = subject.calibration.inputs[0]
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim > 2 else array


def _onnxruntime(subject: Subject, bits: int) -> Outcome:
    """Static quantization: uint8 activations, weights per channel, minmax."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "result.onnx")
        source.write_bytes(next(iter(emit_onnx(subject.graph).values())))
        reader = Reader(subject.graph.inputs[0], _channels_first(subject))
        kind = QuantType.QInt8 if bits == 8 else QuantType.QInt4
        started = time.perf_counter()
        quantize_static(source, result, reader, per_channel=True, activation_type=QuantType.QUInt8, weight_type=kind)
        seconds = time.perf_counter() - started
        outputs = run_onnxruntime({"m.onnx": result.read_bytes()}, subject.test.inputs, optimization="float").outputs
        return subject.accuracy(outputs[0]), result.stat().st_size, seconds


def _nncf(subject: Subject) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "result.onnx")
        source.write_bytes(next(iter(emit_onnx(subject.graph).values())))
        seconds = _peer("nncf", "quantize_nncf.py", folder, _channels_first(subject), source, result)
        outputs = run_onnxruntime({"m.onnx": result.read_bytes()}, subject.test.inputs, optimization="float").outputs
        return subject.accuracy(outputs[0]), result.stat().st_size, seconds


def _ai_edge(subject: Subject, bits: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.tflite"), Path(folder, "result.tflite")
        source.write_bytes(next(iter(emit_tflite(subject.graph).values())))
        images = subject.calibration.inputs[0]
        seconds = _peer("ai-edge-quantizer", "quantize_ai_edge.py", folder, images, source, result, str(bits))
        try:
            graph = edgewright.load(result)
        except UnsupportedError as problem:
            raise RuntimeError("its file leaves layers in float") from problem
        return subject.accuracy(real_outputs(graph, subject.test)[0]), result.stat().st_size, seconds


def _peer(name: str, script: str, folder: str, images: npt.NDArray[np.float32], source: Path, result: Path, *more: str) -> float:
    """Seconds that ``script`` took in the environment called ``name``; RuntimeError where it is not there or fails."""
    python = cache_folder() / "peers" / name / "bin" / "python"
    if not python.exists():
        raise RuntimeError(f"{name} is not installed")
    kept = Path(folder, "samples.npy")
    np.save(kept, images)
    command = [str(python), str(SCRIPTS / script), str(source), str(kept), str(result), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{name} fails: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return float(done.stdout.strip().splitlines()[-1])
