"""The networks that the benchmarks measure, each with real inputs: imported as int8, or quantized here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import edgewright
from benchmarks.data import cifar10, imagenet_samples
from benchmarks.networks import imagenet_inputs, mobilenet_v2
from edgewright.errors import ToolError
from edgewright.ir.graph import Graph
from edgewright.lower.program import Program, make_program
from edgewright.ops.evaluate import quantize_inputs
from edgewright.recipe import load_recipe
from edgewright.targets.target import load_target

Array = npt.NDArray[np.generic]
MODELS = Path(__file__).resolve().parents[1].parent / "shared" / "models"


@dataclass(frozen=True)
class Case:
    """A network at the integer level.

    ``inputs(n)``: n integer samples, the real ones first. ``original``: the .tflite that it came from, where that is int8.
    """

    name: str
    graph: Graph
    inputs: Callable[[int], list[Array]]
    original: Path | None = None

    def program(self, target: str) -> Program:
        """The network as ``target`` runs it."""
        return make_program(self.graph, load_target(target))


def model_path(name: str) -> Path:
    """A file of the shared models; ToolError where they are not beside the repository."""
    path = MODELS / name
    if not path.is_file():
        raise ToolError(f"{path.name} is not there", hint="these benchmarks read the networks of ../shared/models")
    return path


def _random(graph: Graph, count: int, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)
    arrays: list[Array] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (count, *(size or 1 for size in value.shape[1:]))
        arrays.append(random.integers(value.dtype.minimum, value.dtype.maximum + 1, shape).astype(value.dtype.numpy))
    return arrays


def _then_random(graph: Graph, real: Array, count: int) -> list[Array]:
    """``count`` samples: ``real`` ones as far as they go, then uniformly random ones."""
    return [np.concatenate([real[:count], _random(graph, max(0, count - len(real)))[0]])]


def _imported(name: str, file: str, real: Callable[[], Array]) -> Case:
    path = model_path(file)
    graph = edgewright.optimize(path).graph
    return Case(name, graph, lambda count: _then_random(graph, real(), count), path)


def _no_samples(program_shape: tuple[int, ...]) -> Array:
    return np.zeros((0, *program_shape), np.int8)


@cache
def kws_sample() -> Array:
    """The reference input of the keyword spotter, int8 (1, 49, 10, 1)."""
    return np.asarray(np.load(model_path("mlperf_tiny/kws_input.npy"), allow_pickle=False)).reshape(1, 49, 10, 1).astype(np.int8)


@cache
def cifar_pixels() -> Array:
    """CIFAR-10 test images as ic_int8 takes them: pixel - 128."""
    return np.asarray(cifar10().test_inputs[:1000].astype(np.int16) - 128, np.int8)


def kws_int8() -> Case:
    """The keyword spotter of MLPerf Tiny (DS-CNN), as published."""
    return _imported("kws_int8", "mlperf_tiny/kws_int8.tflite", kws_sample)


def ic_int8() -> Case:
    """The image classifier of MLPerf Tiny (ResNet-8), as published."""
    return _imported("ic_int8", "mlperf_tiny/ic_int8.tflite", cifar_pixels)


def micro_speech_int8() -> Case:
    """TFLM's example of a keyword spotter; no real features are at hand, so its inputs are random."""
    return _imported("micro_speech_int8", "tflm/micro_speech_int8.tflite", lambda: _no_samples((1960,)))


@cache
def ic_float_quantized() -> edgewright.Optimized:
    """ic_float, w8a8, calibrated on the first 500 CIFAR-10 training images."""
    return edgewright.optimize(model_path("mlperf_tiny/ic_float.tflite"), data=cifar10().train_inputs[:500])


def ic_float() -> Case:
    """ResNet-8 in float, quantized here, on CIFAR-10 test images."""
    graph = ic_float_quantized().graph
    return Case("ic_float", graph, lambda count: quantize_inputs(graph, [cifar10().test_inputs[:count].astype(np.float32)]))


def kws_float() -> Case:
    """kws_float, w8a8, calibrated on the one real utterance at hand and on 100 random feature maps within the int8 model's input range."""
    imported = edgewright.load(model_path("mlperf_tiny/kws_int8.tflite"))
    samples = dequantize_inputs(imported, [np.concatenate([kws_sample(), _random(imported, 100, seed=1)[0]])])
    graph = edgewright.optimize(model_path("mlperf_tiny/kws_float.tflite"), data=samples).graph
    return Case("kws_float", graph, lambda count: _then_random(graph, quantize_inputs(graph, [samples[0][:1]])[0], count))


def dequantize_inputs(graph: Graph, inputs: list[Array]) -> list[npt.NDArray[np.float32]]:
    """Integer inputs of an integer graph as reals."""
    reals = []
    for name, array in zip(graph.inputs, inputs, strict=True):
        quant = graph.value(name).quant
        reals.append(np.asarray(array, np.float32) if quant is None else quant.to_real(array))
    return reals


def real_photographs(size: int) -> npt.NDArray[np.uint8]:
    """Photographs (N, size, size, 3) that the packages carry: 20 of ImageNet, then CIFAR-10 test images enlarged."""
    small = torch.from_numpy(np.asarray(cifar10().test_inputs[:236], np.float32)).permute(0, 3, 1, 2)
    large = torch.nn.functional.interpolate(small, (size, size), mode="bilinear").permute(0, 2, 3, 1).numpy()
    return np.concatenate([imagenet_samples(size)[0], large.round().astype(np.uint8)])


def photograph_crops(size: int, count: int) -> npt.NDArray[np.uint8]:
    """Random crops (count, size, size, 3), some mirrored, of the two photographs that scikit-learn carries (seed 0)."""
    random = np.random.default_rng(0)
    photographs = [np.asarray(image) for image in load_sample_images().images]
    crops = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        side = int(random.integers(120, min(photograph.shape[:2]) + 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in photograph.shape[:2])
        crop = photograph[top : top + side, left : left + side]
        crop = np.ascontiguousarray(crop[:, ::-1] if random.random() < 0.5 else crop)
        crops.append(np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(crops)


@cache
def mobilenet_quantized(size: int) -> edgewright.Optimized:
    """MobileNetV2 with ImageNet weights at ``size`` x ``size``, w8a8 with mse ranges.

    Calibrated on crops of two photographs and on enlarged CIFAR-10 images, never on the labelled ImageNet ones; mse ranges were chosen by
    the agreement with float on further crops.
    """
    module = mobilenet_v2().eval()
    calibration = imagenet_inputs(np.concatenate([photograph_crops(size, 50), real_photographs(size)[20:70]]))
    example = (torch.from_numpy(np.ascontiguousarray(calibration[:1].transpose(0, 3, 1, 2))),)
    recipe = load_recipe("w8a8").with_options("quantize_static", ranges="mse")
    return edgewright.optimize(module, example_inputs=example, recipe=recipe, data=calibration)


def mobilenet_v2_96() -> Case:
    """MobileNetV2 from torch at 96 x 96, quantized here, on photographs."""
    graph = mobilenet_quantized(96).graph
    return Case("mobilenet_v2_96", graph, lambda count: quantize_inputs(graph, [imagenet_inputs(real_photographs(96)[:count])]))


CASES: Mapping[str, Callable[[], Case]] = {
    "kws_int8": kws_int8,
    "ic_int8": ic_int8,
    "micro_speech_int8": micro_speech_int8,
    "kws_float": kws_float,
    "ic_float": ic_float,
    "mobilenet_v2_96": mobilenet_v2_96,
}
