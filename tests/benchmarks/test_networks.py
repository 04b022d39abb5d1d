"""The networks of the benchmarks are the published ones: their weights load, and they answer as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from benchmarks import data, networks


def right(network: torch.nn.Module, inputs: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> int:
    """How many of the NHWC inputs get their label."""
    with torch.no_grad():
        answers = network(torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))).argmax(1).numpy()
    return int((answers == labels).sum())


def test_mobilenet_v2_has_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in networks.MobileNetV2().parameters()) == 3_504_872


def test_resnet50_has_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in networks.ResNet50().parameters()) == 25_557_032


def test_resnet8_folded_and_not() -> None:
    inputs = torch.rand(2, 3, 32, 32)
    assert networks.ResNet8(batch_norm=True)(inputs).shape == networks.ResNet8(batch_norm=False)(inputs).shape == (2, 10)


def test_resnet8_equals_the_tflite_it_was_read_from(shared_models: Path) -> None:
    path = shared_models / "mlperf_tiny" / "ic_float.tflite"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    interpreter = Interpreter(str(path))
    interpreter.resize_tensor_input(0, [4, 32, 32, 3])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        got = networks.resnet8(path)(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).softmax(1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_pretrained_networks_know_real_images() -> None:
    images, labels = data.imagenet_samples(224)
    assert right(networks.mobilenet_v2(), networks.imagenet_inputs(images), labels) == 18
    assert right(networks.efficientnet_lite0(), networks.efficientnet_inputs(images), labels) == 17


@pytest.mark.slow
def test_resnet8_on_cifar10(shared_models: Path) -> None:
    cifar10 = data.cifar10()
    network = networks.resnet8(shared_models / "mlperf_tiny" / "ic_float.tflite")
    assert right(network, cifar10.test_inputs.astype(np.float32), cifar10.test_labels) == 8719
