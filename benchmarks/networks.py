"""Known networks in plain torch, built so that published weights load into them.

Inputs are NCHW, as torch has them; outputs are logits. Each builder of a pretrained network says how pixels become its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn
from torch.nn import functional

from benchmarks.data import efficientnet_lite0_weights, mobilenet_v2_weights
from edgewright.errors import ModelError


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), modules named as in torchvision. (N, 3, H, W) -> (N, classes)."""

    # expansion, output channels, repeats, stride of the first
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, width: float = 1.0, classes: int = 1000, divisor: int = 8) -> None:
        """``divisor`` 8: channels as in the paper's code; 1: those of ``width``, rounded down."""
        super().__init__()
        rounded = _multiple_of_8 if divisor == 8 else int
        channels = rounded(32 * width)
        last = rounded(1280 * max(1.0, width))
        layers: list[nn.Module] = [_convolution(3, channels, 3, stride=2)]
        for expansion, wanted, repeats, first_stride in self.STAGES:
            out = rounded(wanted * width)
            for index in range(repeats):
                layers.append(_InvertedResidual(channels, out, first_stride if index == 0 else 1, expansion))
                channels = out
        layers.append(_convolution(channels, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.classifier(functional.adaptive_avg_pool2d(self.features(inputs), 1).flatten(1))


class _InvertedResidual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_convolution(channels, hidden, 1)]
        layers += [_convolution(hidden, hidden, 3, stride, groups=hidden), nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == out

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.conv(inputs) if self.residual else self.conv(inputs)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, padded "SAME". (N, 3, H, W) -> (N, classes).

    EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, and with ReLU6 for swish.
    """

    # kernel, output channels, repeats, stride of the first, expansion
    STAGES = (
        (3, 16, 1, 1, 1),
        (3, 24, 2, 2, 6),
        (5, 40, 2, 2, 6),
        (3, 80, 3, 2, 6),
        (5, 112, 3, 1, 6),
        (5, 192, 4, 2, 6),
        (3, 320, 1, 1, 6),
    )

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, out, repeats, first_stride, expansion in self.STAGES:
            for index in range(repeats):
                self._blocks.append(_LiteBlock(channels, out, kernel, first_stride if index == 0 else 1, expansion))
                channels = out
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = functional.relu6(self._bn0(self._conv_stem(inputs)))
        for block in self._blocks:
            values = block(values)
        values = functional.relu6(self._bn1(self._conv_head(values)))
        return self._fc(self._dropout(functional.adaptive_avg_pool2d(values, 1).flatten(1)))


class _LiteBlock(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(channels, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = _SameConv2d(hidden, hidden, kernel, stride=stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = nn.Conv2d(hidden, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=1e-3)
        self.residual = stride == 1 and channels == out

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = functional.relu6(self._bn0(self._expand_conv(inputs))) if self.expands else inputs
        values = functional.relu6(self._bn1(self._depthwise_conv(values)))
        values = self._bn2(self._project_conv(values))
        return inputs + values if self.residual else values


class ResNet8(nn.Module):
    """ResNet-8 of MLPerf Tiny (arXiv:2106.07597), padded "SAME" as Keras does it. (N, 3, 32, 32) -> (N, classes).

    ``batch_norm=False`` is the folded form, whose convolutions have biases. The reference has a bias in every convolution either way.
    ``width``: channels of the first stack, which double from stack to stack.
    """

    def __init__(self, classes: int = 10, batch_norm: bool = True, width: int = 16) -> None:
        super().__init__()
        self.stem = _normalized(3, width, 3, 1, batch_norm)
        sizes = ((width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
        self.stacks = nn.ModuleList([_ResidualStack(channels, out, stride, batch_norm) for channels, out, stride in sizes])
        self.dense = nn.Linear(4 * width, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = functional.relu(self.stem(inputs))
        for stack in self.stacks:
            values = stack(values)
        return self.dense(functional.avg_pool2d(values, 8).flatten(1))


class _ResidualStack(nn.Module):
    def __init__(self, channels: int, out: int, stride: int, batch_norm: bool) -> None:
        super().__init__()
        self.first = _normalized(channels, out, 3, stride, batch_norm)
        self.second = _normalized(out, out, 3, 1, batch_norm)
        self.shortcut = nn.Identity() if stride == 1 and channels == out else _SameConv2d(channels, out, 1, stride=stride)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(functional.relu(self.first(inputs))) + self.shortcut(inputs))


class _SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": the odd row and column, where there is one, at the end."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # functional.pad starts with the last axis
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return functional.conv2d(input, self.weight, self.bias, self.stride, (pads[2], pads[0]), self.dilation, self.groups)
        return functional.conv2d(functional.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class ResNet50(nn.Module):
    """ResNet-50 (He et al. 2015, arXiv:1512.03385), strides in the 3x3 convolutions as in torchvision. (N, 3, H, W) -> (N, classes)."""

    # inner channels, repeats, stride of the first
    STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_plain(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for inner, repeats, first_stride in self.STAGES:
            for index in range(repeats):
                layers.append(_Bottleneck(channels, inner, first_stride if index == 0 else 1))
                channels = 4 * inner
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.classifier(functional.adaptive_avg_pool2d(self.features(inputs), 1).flatten(1))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        out = 4 * inner
        self.body = nn.Sequential(
            _plain(channels, inner, 1), nn.ReLU(), _plain(inner, inner, 3, stride), nn.ReLU(), _plain(inner, out, 1)
        )
        self.shortcut = nn.Identity() if stride == 1 and channels == out else _plain(channels, out, 1, stride)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(inputs) + self.shortcut(inputs))


def mobilenet_v2() -> MobileNetV2:
    """MobileNetV2 1.0 with ImageNet weights, in evaluation mode; its inputs are made by `imagenet_inputs`."""
    network = MobileNetV2()
    network.load_state_dict(mobilenet_v2_weights())
    return network.eval()


def efficientnet_lite0() -> EfficientNetLite0:
    """EfficientNet-Lite0 with ImageNet weights, in evaluation mode; its inputs are made by `efficientnet_inputs`."""
    network = EfficientNetLite0()
    network.load_state_dict(efficientnet_lite0_weights())
    return network.eval()


def imagenet_inputs(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pixels (N, H, W, 3) uint8 as torchvision's networks want them, NHWC float32: transpose to NCHW for torch."""
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    normalized: npt.NDArray[np.float32] = (images.astype(np.float32) / np.float32(255) - mean) / deviation
    return normalized


def efficientnet_inputs(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pixels (N, H, W, 3) uint8 as EfficientNet-Lite wants them, NHWC float32."""
    return (images.astype(np.float32) - np.float32(127)) / np.float32(128)


def resnet8(tflite: Path) -> ResNet8:
    """The folded ResNet-8 with the weights of MLPerf Tiny's ic_float.tflite, evaluating; its inputs are pixels 0...255 as they are."""
    network = ResNet8(batch_norm=False).eval()
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    weights = list(_tflite_weights(tflite))
    if [tuple(layer.weight.shape) for layer in layers] != [weight.shape for weight, _ in weights]:
        raise ModelError(f"{tflite.name} does not have the layers of ResNet-8", hint="take MLPerf Tiny's ic_float.tflite")
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, weights, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
    return network


def _tflite_weights(path: Path) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Weight (as torch has it) and bias of every convolution and dense layer of a float .tflite file, in execution order."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode in (
            schema.BuiltinOperator.CONV_2D,
            schema.BuiltinOperator.FULLY_CONNECTED,
        ):
            weight, bias = (
                np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype=np.float32).reshape(tensor.shape)
                for tensor in (graph.tensors[index] for index in operator.inputs[1:3])
            )
            yield (weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight).copy(), bias.copy()


def _convolution(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU6())


def _plain(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out))


def _normalized(channels: int, out: int, kernel: int, stride: int, batch_norm: bool) -> nn.Sequential:
    convolution = _SameConv2d(channels, out, kernel, stride=stride)
    return nn.Sequential(convolution, nn.BatchNorm2d(out, eps=1e-3)) if batch_norm else nn.Sequential(convolution)


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is at most a tenth smaller: the rounding of the MobileNet papers' code."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class ChannelsLast(nn.Module):
    """A torch network that takes images as they lie in memory here."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(images.permute(0, 3, 1, 2))
        return result
