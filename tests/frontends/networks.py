"""Small torch networks, each for idioms of real ones; they go through torch.export and both ONNX exporters. Inputs are not square."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """A network and the shapes of its inputs, as torch sees them. ``opset``: the least that torch's own exporter needs."""

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    opset: int = 13

    def network(self) -> nn.Module:
        torch.manual_seed(7)
        network = self.make()
        for part in network.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.running_mean.uniform_(-0.5, 0.5)
                part.running_var.uniform_(0.5, 2.0)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.5, 0.5)
        return network.eval()

    def inputs(self, batch: int = 1, seed: int = 3) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(torch.randn(batch, *shape[1:], generator=generator) for shape in self.shapes)


class _Apply(nn.Module):
    """A network whose forward is ``function(modules, *inputs)``."""

    def __init__(self, function: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(self, *inputs)


def _block(channels: int, out: int, stride: int = 1, groups: int = 1, act: type[nn.Module] = nn.ReLU, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out), act())


class InvertedResidual(nn.Module):
    """MobileNetV2's block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, 8, 2, act=nn.ReLU6)
        self.conv = nn.Sequential(
            _block(8, 24, kernel=1, act=nn.ReLU6), _block(24, 24, groups=24, act=nn.ReLU6), nn.Conv2d(24, 8, 1), nn.BatchNorm2d(8)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv(x)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Residual(nn.Module):
    """ResNet's stem and block, with TensorFlow's lopsided padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.a, self.b = _block(8, 12, 2), nn.Conv2d(12, 12, 3, padding=1)
        self.shortcut = nn.Conv2d(8, 12, 1, 2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(F.pad(x, (0, 1, 0, 1)))
        x = F.relu(self.b(self.a(x)) + self.shortcut(x))
        return torch.softmax(self.fc(x.mean((2, 3))), dim=-1)


class SqueezeExcite(nn.Module):
    """MobileNetV3's block: squeeze-and-excitation, hard swish, hard sigmoid."""

    def __init__(self, act: type[nn.Module], gate: type[nn.Module]) -> None:
        super().__init__()
        self.expand, self.depthwise = _block(3, 16, 2, act=act), _block(16, 16, groups=16, act=act, kernel=5)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), gate())
        self.head = nn.Conv2d(16, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.expand(x))
        return self.head(x * self.squeeze(x)).mean([2, 3])


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: split, concatenation, channel shuffle written with view and transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = (
            _block(3, 12),
            nn.Sequential(_block(6, 6, kernel=1), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)),
        )
        self.last = nn.Conv2d(12, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.stem(x).chunk(2, dim=1)
        x = torch.cat((first, self.branch(second)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width)
        x = torch.transpose(x, 1, 2).contiguous().view(batch, -1, height, width)
        return self.last(x)


class UNet(nn.Module):
    """Encoder and decoder with skip connections, a transposed convolution and nearest upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = _block(3, 6), _block(6, 10), _block(10, 12)
        self.up = nn.ConvTranspose2d(12, 10, 2, 2)
        self.mix, self.last = _block(20, 6), nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.mix(torch.cat([self.up(self.bottom(F.max_pool2d(second, 2))), second], 1))
        return self.last(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), first], 1))


class Segment(nn.Module):
    """Dilated convolution, bilinear upsampling to a size, softmax over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(3, 8, 2), nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.PReLU(8), nn.Conv2d(8, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        low = self.body(x)
        return F.softmax(F.interpolate(low, size=(18, 14), mode="bilinear", align_corners=False), dim=1)


class Waves(nn.Module):
    """One-dimensional convolution, pooling and batch norm on (N, C, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 8, 7, 2, 3),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 12, 3, padding=1, groups=4),
            nn.Tanh(),
            nn.AvgPool1d(3, 2, 1),
            nn.Conv1d(12, 12, 5, padding=4, dilation=2, groups=12),
            nn.LeakyReLU(0.1),
        )
        self.fc = nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.fc(F.adaptive_avg_pool1d(self.body(x), 1).squeeze(-1)), dim=1)


class Sequence1D(nn.Module):
    """Dense layers over the last axis of (N, T, F), mixed with a convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.conv = nn.Linear(10, 16), nn.Linear(16, 8), nn.Conv1d(8, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.second(F.relu(self.first(x))))
        return self.conv(x.transpose(1, 2)).transpose(1, 2).mean(dim=1)


class Flattened(nn.Module):
    """LeNet: a flattened image into dense layers, batch norm behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AvgPool2d(2))
        self.norm, self.fc1, self.bn, self.fc2 = nn.BatchNorm1d(48), nn.Linear(48, 20), nn.BatchNorm1d(20), nn.Linear(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = self.norm(F.dropout(x.view(x.size(0), -1), 0.5, self.training))
        return self.fc2(F.relu(self.bn(self.fc1(x))))


class Dense3(nn.Module):
    """DenseNet's concatenations, average pooling that counts its padding."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1), nn.Conv2d(11, 5, 1)
        self.bn = nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.a(x)], 1)
        x = torch.cat([x, self.b(F.relu(self.bn(x)))], 1)
        return self.c(F.avg_pool2d(x, 3, stride=2, padding=1))


class ConvNext(nn.Module):
    """A depthwise convolution, then dense layers over channels moved last, GELU, and back; a scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.dw = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.up, self.down = nn.Linear(8, 24), nn.Linear(24, 8)
        self.gamma = nn.Parameter(torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.dw(x).permute(0, 2, 3, 1)
        y = self.gamma * self.down(F.gelu(self.up(y)))
        return (x + y.permute(0, 3, 1, 2)).mean((-2, -1))


class Transformer(nn.Module):
    """A block of a transformer: layer normalization, attention by one call, GELU; then attention written out, a sequence pooled by it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.qkv, self.out = nn.LayerNorm(12), nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)
        self.up, self.down, self.query = nn.Linear(12, 24), nn.Linear(24, 12), nn.Parameter(torch.randn(1, 3, 12))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return torch.softmax(self.query @ x.transpose(1, 2) / 12**0.5, -1) @ x


class WrittenOut(nn.Module):
    """Layer normalization by hand, with a root that divides, and one with a reciprocal root."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.scale, self.offset = nn.Parameter(torch.rand(8) + 0.5), nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        centred = x - x.mean(-1, keepdim=True)
        x = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * self.scale + self.offset
        centred = self.second(x) - self.second(x).mean(-1, keepdim=True)
        return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-6)


class Recurrent(nn.Module):
    """Two LSTM layers in one module, its last state read; a GRU with the time first and without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, num_layers=2, batch_first=True)
        self.gru, self.head = nn.GRU(7, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, (last, _) = self.lstm(x)
        z, final = self.gru(y.transpose(0, 1))
        return self.head(z[-1] + final[0] * last[1, :, :6])


class BothWays(nn.Module):
    """Recurrent layers that hear a sequence in both directions: two LSTM layers in one module, a GRU with the time first, a flip."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, num_layers=2, batch_first=True, bidirectional=True)
        self.gru, self.head = nn.GRU(14, 6, bidirectional=True, bias=False), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        z, final = self.gru(y.transpose(0, 1).flip(0))
        return self.head(z[1] + torch.cat([final[1], final[0]], 1))


class TwoWay(nn.Module):
    """Two inputs, two outputs, preprocessing inside."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1))
        self.conv, self.side, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, image: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv((image / 255.0 - self.mean) / self.std)
        gate = torch.sigmoid(self.side(side))
        x = x * gate.unsqueeze(-1).unsqueeze(-1)
        return self.fc(x.amax((2, 3))), 1.0 - gate


class ByHand(nn.Module):
    """Activation functions written out: SiLU, hard swish, hard sigmoid, both GELUs, clamps."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3 if index == 0 else 6, 6, 3, padding=1) for index in range(6)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs[0](x)
        x = self.convs[1](x * torch.sigmoid(x))
        x = self.convs[2](x * F.relu6(x + 3) / 6)
        x = self.convs[3](x * (F.relu6(x + 3.0) * (1 / 6)))
        x = self.convs[4](0.5 * x * (1 + torch.erf(x / math.sqrt(2))))
        x = self.convs[5](0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))))
        return torch.clamp(x, 0.0, 2.5) + torch.clamp(x, min=-0.3) + torch.clamp(x, max=0.4) + F.hardtanh(x)


class Normalizers(nn.Module):
    """Group, instance and layer normalization over several axes, with weights and without; rarer activations; extremes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.group, self.instance = nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.InstanceNorm2d(6)
        self.whole, self.line, self.elu = nn.LayerNorm((6, 7, 5)), nn.InstanceNorm1d(6, affine=True), nn.ELU(0.7)
        for module in (self.group, self.whole, self.line):
            nn.init.normal_(module.weight), nn.init.normal_(module.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.elu(self.group(self.conv(x)))
        y = F.selu(self.instance(x)) + F.mish(self.whole(x))
        z = self.line(torch.abs(y).flatten(2))
        return z.max(2).values, y.amin((1, 3), keepdim=True), z.max(1, keepdim=True).values.flatten(1)


class Pools(nn.Module):
    """Pooling with ceil mode at odd sizes, adaptive pooling that divides, max over everything."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.c, self.d = nn.AdaptiveAvgPool2d((2, 1)), nn.AvgPool2d(2, ceil_mode=True)
        self.conv = nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.b(self.a(self.conv(x)))
        return self.c(x), self.d(x)


class Keras(nn.Module):
    """What a converted TensorFlow network looks like: NHWC outside, transposes at the borders."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = _block(3, 6, 2), nn.Linear(6 * 6 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.permute(0, 3, 1, 2))
        return self.fc(x.permute(0, 2, 3, 1).reshape(x.shape[0], -1))


class Pieces(nn.Module):
    """Slices with steps (YOLO's focus), split, stack, unbind, squeeze, a sum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 6, 3, padding="same")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))
        a, b, c = torch.split(x, [1, 2, 3], dim=1)
        stacked = torch.stack([b[:, 0], b[:, 1], a.squeeze(1)], dim=1)
        return stacked + c, x.sum(dim=1, keepdim=True)


class Decode(nn.Module):
    """Pixel shuffle, reflection padding, cropping, tanh; transposed convolution with output padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(4, 5, 3, 2, 1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(self.conv(F.pad(x, (1, 1, 2, 2), mode="reflect")), 2)
        return torch.tanh(self.up(F.pad(x, (-1, 0, -1, -1))))


class Products(nn.Module):
    """Matrix products with parameters, batch of vectors, weight arithmetic that is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(9, 7) * 0.3), nn.Parameter(torch.randn(7, 7) * 0.3)
        self.bias, self.scale = nn.Parameter(torch.randn(7)), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addmm(self.bias, x, self.first * self.scale)
        return 2 - (x @ self.second.t() + self.bias.abs().sqrt()) / 3


class InPlace(nn.Module):
    """In-place operators, no_grad inside forward, dropout, identity, a value used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.drop, self.same = nn.Dropout2d(0.3), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y = self.act(x)
        with torch.no_grad():
            z = self.drop(self.same(self.conv2(y)))
        z += x
        return z.mul_(0.5).add_(1.0)


def _keyword_spotting() -> nn.Module:
    """DS-CNN: a 10x4 kernel with stride 2, depthwise and pointwise convolutions; one input channel."""
    return nn.Sequential(
        nn.ZeroPad2d((1, 1, 4, 5)),
        nn.Conv2d(1, 16, (10, 4), (2, 2), bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        _block(16, 16, groups=16),
        _block(16, 16, kernel=1),
        nn.AvgPool2d((25, 5)),
        nn.Flatten(),
        nn.Linear(16, 12),
    )


def _multiplier() -> nn.Module:
    """A depthwise convolution with two outputs a channel, grouped convolution, global average pooling, 1x1 as classifier."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, (1, 2), (0, 1), groups=4),
        nn.ReLU6(),
        nn.Conv2d(8, 12, (1, 3), groups=2),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Conv2d(12, 5, 1),
        nn.Flatten(),
    )


CASES: dict[str, Case] = {
    "inverted_residual": Case(InvertedResidual, ((1, 3, 18, 14),)),
    "residual": Case(Residual, ((1, 3, 33, 27),)),
    "squeeze_excite_hard": Case(lambda: SqueezeExcite(nn.Hardswish, nn.Hardsigmoid), ((1, 3, 18, 14),), opset=14),
    "squeeze_excite_silu": Case(lambda: SqueezeExcite(nn.SiLU, nn.Sigmoid), ((1, 3, 18, 14),)),
    "shuffle": Case(Shuffle, ((1, 3, 10, 8),)),
    "unet": Case(UNet, ((1, 3, 16, 12),)),
    "segment": Case(Segment, ((1, 3, 18, 14),)),
    "waves": Case(Waves, ((1, 2, 64),)),
    "sequence": Case(Sequence1D, ((1, 12, 10),)),
    "transformer": Case(Transformer, ((1, 7, 12),), opset=14),
    "recurrent": Case(Recurrent, ((1, 6, 5),)),
    "both_ways": Case(BothWays, ((1, 6, 5),)),
    "written_out": Case(WrittenOut, ((1, 5, 6),)),
    "flattened": Case(Flattened, ((1, 1, 22, 18),)),
    "dense_net": Case(Dense3, ((1, 3, 13, 10),)),
    "conv_next": Case(ConvNext, ((1, 3, 24, 16),)),
    "two_way": Case(TwoWay, ((1, 3, 9, 7), (1, 5))),
    "by_hand": Case(ByHand, ((1, 3, 9, 7),)),
    "normalizers": Case(Normalizers, ((1, 3, 9, 7),)),
    "pools": Case(Pools, ((1, 2, 30, 22),)),
    "keras": Case(Keras, ((1, 12, 16, 3),)),
    "pieces": Case(Pieces, ((1, 3, 12, 10),)),
    "decode": Case(Decode, ((1, 3, 9, 7),)),
    "products": Case(Products, ((1, 9),)),
    "in_place": Case(InPlace, ((1, 3, 9, 7),)),
    "keyword_spotting": Case(_keyword_spotting, ((1, 1, 49, 10),)),
    "multiplier": Case(_multiplier, ((1, 4, 9, 12),)),
}


def to_graph_axes(arrays: Sequence[Tensor | NDArray[np.generic]], shapes: Sequence[tuple[int | None, ...]]) -> list[NDArray[np.float32]]:
    """Torch's tensors in the axes in which a graph holds them: channels-last, or as they are, whichever fits ``shapes``."""
    result = []
    for item, shape in zip(arrays, shapes, strict=True):
        array = np.asarray(item.detach() if isinstance(item, Tensor) else item, np.float32)
        last = array.transpose(0, *range(2, array.ndim), 1) if array.ndim > 2 else array
        fitting = [form for form in (last, array) if form.shape[1:] == tuple(shape[1:])]
        assert fitting, f"{array.shape} does not fit {shape}"
        result.append(np.ascontiguousarray(fitting[0]))
    return result


def torch_outputs(network: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What torch computes, as a flat list."""
    with torch.no_grad():
        outputs = network(*(item.clone() for item in inputs))
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
