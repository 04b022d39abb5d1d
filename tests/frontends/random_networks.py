"""Random torch networks: operators that move, select, mix and compute, in any order, on any axes. What layouts must survive."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Step = Callable[[Tensor], Tensor]
MOST_ELEMENTS = 4000


class RandomNetwork(nn.Module):
    """``length`` random steps on one input; every choice follows from ``seed``. The batch stays at axis 0 and alone."""

    def __init__(self, seed: int, length: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        torch.manual_seed(seed)
        rank = rng.choice((2, 3, 4, 4, 4))
        self.shape = (2, *rng.sample((2, 3, 4, 5, 6), rank - 1))
        self.parts = nn.ModuleList()
        self.steps: list[Step] = []
        self.names: list[str] = []
        x = torch.randn(self.shape)
        for _ in range(length):
            name = rng.choice([kind for kind in KINDS if KINDS[kind][0] <= x.dim() <= KINDS[kind][1]])
            step = KINDS[name][2](self, rng, x)
            if step is None:
                continue
            y = step(x)
            if y.numel() > MOST_ELEMENTS or y.dim() > 6:
                continue
            self.steps.append(step)
            self.names.append(name)
            x = y

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x

    def part(self, module: nn.Module) -> nn.Module:
        self.parts.append(module.eval())
        return module


def _permute(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    order = [0, *rng.sample(range(1, x.dim()), x.dim() - 1)]
    return lambda x: x.permute(order)


def _reshape(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    left = math.prod(x.shape[1:])
    sizes = []
    while left > 1 and len(sizes) < 4:
        size = rng.choice([size for size in range(1, left + 1) if left % size == 0])
        sizes.append(size)
        left //= size
    sizes.append(left)
    return lambda x: x.reshape(x.shape[0], *sizes)


def _flatten(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    start = rng.randrange(1, x.dim() - 1)
    return lambda x: torch.flatten(x, start, start + 1)


def _unsqueeze(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    axis = rng.randrange(1, x.dim() + 1)
    return lambda x: x.unsqueeze(axis)


def _squeeze(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step | None:
    axes = [axis for axis in range(1, x.dim()) if x.shape[axis] == 1]
    return (lambda x: x.squeeze(axes[0])) if axes and x.dim() > 2 else None


def _slice(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step | None:
    axis = rng.randrange(1, x.dim())
    size = x.shape[axis]
    start, step = rng.randrange(size), rng.choice((1, 1, 2))
    return lambda x: x.narrow(axis, start, size - start)[(slice(None),) * axis + (slice(None, None, step),)]


def _split(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    axis = rng.randrange(1, x.dim())

    def step(x: Tensor) -> Tensor:
        pieces = x.chunk(2, axis)
        return torch.cat([*pieces[::-1], torch.tanh(pieces[0])], axis)

    return step


def _mean(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    axis, keep = rng.randrange(1, x.dim()), rng.random() < 0.5 or x.dim() == 2
    return lambda x: x.mean(axis, keepdim=keep)


def _self_add(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    """Broadcasts a mean of itself back over itself."""
    axis = rng.randrange(1, x.dim())
    return lambda x: x + torch.sigmoid(x.mean(axis, keepdim=True))


def _constant(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    shape = [size if rng.random() < 0.5 else 1 for size in x.shape[1:]]
    number = nn.Parameter(torch.randn(shape))
    net.register_parameter(f"constant{len(net.steps)}", number)
    return rng.choice((lambda x: x * number, lambda x: x + number, lambda x: number - x, lambda x: x / (2 + number.abs())))


def _linear(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    return net.part(nn.Linear(x.shape[-1], rng.choice((1, 3, 5)), bias=rng.random() < 0.7))


def _softmax(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    axis = rng.randrange(1, x.dim())
    return lambda x: torch.softmax(x, axis)


def _normalize(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    norm = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[x.dim()](x.shape[1])
    norm.running_mean.uniform_(-0.5, 0.5)
    norm.running_var.uniform_(0.5, 2.0)
    return net.part(norm)


def _prelu(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    activation = nn.PReLU(x.shape[1])
    activation.weight.data.uniform_(0.1, 0.5)
    return net.part(activation)


def _conv(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    kind = nn.Conv1d if x.dim() == 3 else nn.Conv2d
    channels = x.shape[1]
    groups = rng.choice([count for count in range(1, channels + 1) if channels % count == 0])
    return net.part(kind(channels, groups * rng.choice((1, 2)), rng.choice((1, 3)), rng.choice((1, 2)), 1, groups=groups))


def _pool(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    pool = {3: (F.max_pool1d, F.avg_pool1d), 4: (F.max_pool2d, F.avg_pool2d)}[x.dim()][rng.randrange(2)]
    return lambda x: pool(x, 2, 1, 1)


def _pad(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    amounts = [rng.randrange(3) for _ in range(2 * rng.randrange(1, x.dim()))]
    return lambda x: F.pad(x, amounts, value=0.5)


def _resize(net: RandomNetwork, rng: random.Random, x: Tensor) -> Step:
    mode = rng.choice(("nearest", "bilinear"))
    return lambda x: F.interpolate(x, scale_factor=2, mode=mode)


KINDS: dict[str, tuple[int, int, Callable[[RandomNetwork, random.Random, Tensor], Step | None]]] = {
    "permute": (3, 6, _permute),
    "permute again": (3, 6, _permute),
    "reshape": (2, 6, _reshape),
    "flatten": (3, 6, _flatten),
    "unsqueeze": (2, 4, _unsqueeze),
    "squeeze": (3, 6, _squeeze),
    "slice": (2, 5, _slice),
    "split": (2, 5, _split),
    "mean": (2, 5, _mean),
    "self_add": (2, 5, _self_add),
    "constant": (2, 5, _constant),
    "linear": (2, 5, _linear),
    "softmax": (2, 5, _softmax),
    "normalize": (2, 4, _normalize),
    "prelu": (2, 4, _prelu),
    "conv": (3, 4, _conv),
    "pool": (3, 4, _pool),
    "pad": (2, 5, _pad),
    "resize": (4, 4, _resize),
}
"""Name → fewest and most axes of the input, and the maker of a step."""
