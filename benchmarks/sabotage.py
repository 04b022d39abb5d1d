"""Networks quantized wrongly on purpose, in ten ways, for the diagnosis to find: each is a float network, its bad quantized form, and data.

The networks are small and real: the spoken digits of examples/, and networks for scikit-learn's handwritten digits (8 x 8, 1,797 images)
that are trained here in seconds (seed 0). Calibration and judging never share a sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

import edgewright
from edgewright.data import Data, load_data
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.targets.target import load_target

Reals = npt.NDArray[np.float32]
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "spoken_digits"


@dataclass(frozen=True, eq=False)
class Subject:
    """A float network, clean; ``calibration`` and ``judges`` are samples with labels."""

    name: str
    graph: Graph
    calibration: Data
    judges: Data


@dataclass(frozen=True, eq=False)
class Sabotaged:
    """What the diagnosis is given."""

    floating: Graph
    quantized: Graph
    judges: Data


@cache
def spoken_digits() -> Subject:
    """The example's network, 38 nodes with batch norm."""
    graph = _clean(edgewright.load(EXAMPLE / "spoken_digits.onnx"))
    return Subject("spoken_digits", graph, load_data(EXAMPLE / "calibration.npz", graph), load_data(EXAMPLE / "test.npz", graph))


class _Branches(nn.Module):
    """Two branches joined along their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1)
        self.wide, self.narrow = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 12, 1)
        self.last, self.head = nn.Conv2d(24, 24, 3, stride=2, padding=1), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.cat([torch.relu(self.wide(x)), torch.relu(self.narrow(x))], 1)
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


class _Residual(nn.Module):
    """Two residual additions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.first = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(2)])
        self.second = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for one, two in zip(self.first, self.second, strict=True):
            x = torch.relu(x + two(torch.relu(one(x))))
        return self.head(x.mean((2, 3)))


def _plain() -> nn.Module:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


def _dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10))


ARCHITECTURES: Mapping[str, Callable[[], nn.Module]] = {
    "branches": _Branches, "residual": _Residual, "plain": _plain, "dense": _dense,
}  # fmt: skip


@cache
def handwritten_digits(name: str) -> Subject:
    """One of ARCHITECTURES, trained for 20 epochs on 1,000 images; 200 calibrate, 597 judge."""
    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.reshape(-1, 1, 8, 8).astype(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    x, y = x[order], y[order]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ARCHITECTURES[name]()
        steps = 20 * 16
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
        for _ in range(steps):
            picked = torch.randint(0, 1000, (64,))
            loss = nn.functional.cross_entropy(network(x[picked]), y[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    graph = _clean(edgewright.load(network.eval(), (x[:1],)))
    parts = [slice(1000, 1200), slice(1200, None)]
    calibration, judges = (load_data(Data((x[part].numpy(),), y[part].numpy(), "digits"), graph) for part in parts)
    return Subject(name, graph, calibration, judges)


def _clean(graph: Graph) -> Graph:
    return edgewright.optimize(graph, recipe=load_recipe("clean")).graph


def quantized(graph: Graph, calibration: Data, **options: str | int) -> Graph:
    """The integer graph by quantize_static with ``options``, no channel removed."""
    static = load_passes()["quantize_static"].function
    return lower_integer(static(graph, Context(data=calibration), **options), load_target("host"))


def scaled(data: Data, factor: float) -> Data:
    """The same samples in other units."""
    return dataclasses.replace(data, inputs=tuple(np.asarray(x * np.float32(factor), np.float32) for x in data.inputs))


def weighted(graph: Graph) -> list[Node]:
    """The layers with weights and a bias."""
    return [node for node in graph.nodes if node.op.weight_inputs == (1,) and len(node.inputs) == 3]


def edited(graph: Graph, constants: Mapping[str, npt.NDArray[np.generic]], quants: Mapping[str, Quant] | None = None) -> Graph:
    """``graph`` with other numbers, and other grids, in some of its constants."""
    values = [dataclasses.replace(graph.value(name), quant=quant) for name, quant in (quants or {}).items()]
    return rebuild(graph, values=values, constants={name: Constant(array) for name, array in constants.items()})


def wrong_units(subject: Subject) -> Sabotaged:
    """Calibrated on inputs a twentieth as large as the device will see."""
    return Sabotaged(subject.graph, quantized(subject.graph, scaled(subject.calibration, 0.05)), subject.judges)


def noise_for_calibration(subject: Subject) -> Sabotaged:
    """Calibrated on two samples that are constant but for two numbers, the least and the greatest that an input can be."""
    x = subject.calibration.inputs[0]
    flat = np.full((2, *x.shape[1:]), np.median(x), np.float32).reshape(2, -1)
    flat[:, 0], flat[:, -1] = x.min(), x.max()
    return Sabotaged(subject.graph, quantized(subject.graph, Data((flat.reshape(2, *x.shape[1:]),))), subject.judges)


def glitches(subject: Subject) -> Sabotaged:
    """One sample in 50 is 150 times too large, in the calibration and on the device: minmax ranges follow it."""
    calibration, judges = (_with_glitches(data) for data in (subject.calibration, subject.judges))
    return Sabotaged(subject.graph, quantized(subject.graph, calibration), judges)


def _with_glitches(data: Data) -> Data:
    x = data.inputs[0].copy()
    x[::50] *= 150
    return dataclasses.replace(data, inputs=(x, *data.inputs[1:]))


def uneven_channels(subject: Subject) -> Sabotaged:
    """Channels of each layer scaled by 2**-6 to 2**6 and back by the next one, then one scale for all weights of a layer."""
    random = np.random.default_rng(0)
    graph = subject.graph
    for name in [node.name for node, _ in _neighbours(graph)]:
        node, reader = next((one, other) for one, other in _neighbours(graph) if one.name == name)
        factors = 2.0 ** random.uniform(-6, 6, graph.value(node.inputs[1]).shape[0])
        weight, bias, after = (graph.array(name).astype(np.float64) for name in (*node.inputs[1:3], reader.inputs[1]))
        rows = factors.reshape(-1, *[1] * (weight.ndim - 1))
        depthwise = reader.op.kind == "DepthwiseConv2D"
        columns = rows if depthwise else factors.reshape(*[1] * (after.ndim - 1), -1)
        new = {node.inputs[1]: weight * rows, node.inputs[2]: bias * factors, reader.inputs[1]: after / columns}
        graph = edited(graph, {name: array.astype(np.float32) for name, array in new.items()})
    return Sabotaged(graph, per_tensor(quantized(graph, subject.calibration), graph), subject.judges)


def _neighbours(graph: Graph) -> list[tuple[Node, Node]]:
    """Layers with weights whose channels go to one other such layer alone."""
    pairs = [(node, graph.sole_consumer(node.outputs[0])) for node in weighted(graph)]
    direct = [(node, reader) for node, reader in pairs if reader is not None and reader.op.weight_inputs == (1,)]
    return [(node, reader) for node, reader in direct if _takes_channels(graph, node, reader)]


def _takes_channels(graph: Graph, node: Node, reader: Node) -> bool:
    shape, channels = graph.value(reader.inputs[1]).shape, graph.value(node.inputs[1]).shape[0]
    return (shape[0] if reader.op.kind == "DepthwiseConv2D" else shape[-1]) == channels


def per_tensor(graph: Graph, floating: Graph) -> Graph:
    """Integer ``graph`` with one scale for all weights of each layer, as quantizers of old made it."""
    constants: dict[str, npt.NDArray[np.generic]] = {}
    quants: dict[str, Quant] = {}
    for node in weighted(graph):
        weight, bias = (graph.value(name) for name in node.inputs[1:3])
        assert weight.quant is not None and bias.quant is not None
        real, offset = (entry.quant.to_real(graph.array(entry.name)) for entry in (weight, bias) if entry.quant is not None)
        exact = floating.constants.get(node.inputs[1])
        real = real if exact is None or exact.array.shape != real.shape else exact.array.astype(np.float32)
        scale = float(np.abs(real).max()) / 127
        data = graph.value(node.inputs[0]).quant
        assert data is not None
        count = len(real)
        quants[weight.name] = Quant.per_axis(np.full(count, scale, np.float32), 0)
        quants[bias.name] = Quant.per_axis(np.full(count, scale * data.scale[0], np.float32), 0, DType.INT32)
        constants[weight.name] = quants[weight.name].to_integer(real)
        constants[bias.name] = quants[bias.name].to_integer(offset)
    return edited(graph, constants, quants)


def unequal_branches(subject: Subject) -> Sabotaged:
    """One branch of every concatenation 128 times smaller, which the next layer takes back; one scale for both."""
    graph = subject.graph
    for join in [node for node in graph.nodes if node.op.kind == "Concat"]:
        small, reader = graph.producers[join.inputs[-1]], graph.sole_consumer(join.outputs[0])
        assert reader is not None
        weight, bias, after = (graph.array(name).astype(np.float64) for name in (*small.inputs[1:3], reader.inputs[1]))
        after = after.copy()
        after[..., -len(weight) :] *= 128
        new = {small.inputs[1]: weight / 128, small.inputs[2]: bias / 128, reader.inputs[1]: after}
        graph = edited(graph, {name: array.astype(np.float32) for name, array in new.items()})
    return Sabotaged(graph, quantized(graph, subject.calibration), subject.judges)


def other_statistics(subject: Subject) -> Sabotaged:
    """Every row of the weights multiplied by a factor (lognormal, 0.8) and its bias shifted, as stale batch-norm statistics do."""
    random = np.random.default_rng(0)
    graph = quantized(subject.graph, subject.calibration)
    constants: dict[str, npt.NDArray[np.generic]] = {}
    quants: dict[str, Quant] = {}
    for node in weighted(graph)[:-1]:
        weight, bias, out = (graph.value(name) for name in (*node.inputs[1:3], node.outputs[0]))
        assert weight.quant is not None and bias.quant is not None and out.quant is not None
        gain = random.lognormal(0, 0.8, len(weight.quant.scale))
        real = bias.quant.to_real(graph.array(bias.name)) * gain + random.normal(0, 16 * out.quant.scale[0], len(gain))
        for value in (weight, bias):
            assert value.quant is not None
            quants[value.name] = Quant.per_axis((np.asarray(value.quant.scale) * gain).astype(np.float32), 0, value.quant.dtype)
        constants[bias.name] = quants[bias.name].to_integer(real.astype(np.float32))
    return Sabotaged(subject.graph, edited(graph, constants, quants), subject.judges)


def tiny_rows(subject: Subject) -> Sabotaged:
    """As many channels again that are all but constant, which the next layer takes off again; scales that follow the weights alone.

    The function stays as it is. A scale made for weights near zero leaves the bias of such a channel no room in 32 bits.
    """
    graph, random = subject.graph, np.random.default_rng(0)
    for node, reader in _followed(graph)[:1]:
        weight, bias, after, sums = (graph.array(name) for name in (*node.inputs[1:3], *reader.inputs[1:3]))
        count = len(weight)
        rows = 1e-11 * random.normal(size=(count, *weight.shape[1:]))
        constant = np.full(count, _peak(graph, node.outputs[0], subject.calibration))
        columns = np.zeros((*after.shape[:-1], count))
        middle = tuple(size // 2 for size in after.shape[1:-1])
        columns[(slice(None), *middle)] = random.normal(0, after.std(), (len(after), count))
        taken = columns.reshape(len(after), -1, count).sum(1) @ constant
        new = {
            node.inputs[1]: np.concatenate([weight, rows]),
            node.inputs[2]: np.concatenate([bias, constant]),
            reader.inputs[1]: np.concatenate([after, columns], axis=-1),
            reader.inputs[2]: sums - taken,
        }
        graph = widened(graph, node, reader, {name: array.astype(np.float32) for name, array in new.items()}, count)
    return Sabotaged(graph, cut_off(quantized(graph, subject.calibration), graph), subject.judges)


def _peak(graph: Graph, name: str, data: Data) -> float:
    """The largest magnitude of value ``name`` on ``data``."""
    found = [0.0]

    def observe(value: Value, x: torch.Tensor) -> None:
        if value.name == name:
            found.append(float(x.abs().max()))

    evaluate_in_order(graph, data.inputs, observe=observe)
    return max(found)


def _followed(graph: Graph) -> list[tuple[Node, Node]]:
    """Layers whose channels go to one other layer alone, perhaps averaged over the image, and not one by one."""
    found = []
    for node in weighted(graph):
        reader = graph.sole_consumer(node.outputs[0])
        if reader is not None and reader.op.kind == "Mean":
            reader = graph.sole_consumer(reader.outputs[0])
        plain = reader is not None and reader.op.weight_inputs == (1,) and len(reader.inputs) == 3
        if (
            reader is not None
            and plain
            and "DepthwiseConv2D" not in (node.op.kind, reader.op.kind)
            and _takes_channels(graph, node, reader)
        ):
            found.append((node, reader))
    return found


def widened(graph: Graph, node: Node, reader: Node, constants: Mapping[str, Reals], more: int) -> Graph:
    """``graph`` with ``more`` channels between ``node`` and ``reader``."""
    values = [dataclasses.replace(graph.value(name), shape=array.shape) for name, array in constants.items()]
    name = node.outputs[0]
    while True:
        value = graph.value(name)
        values.append(dataclasses.replace(value, shape=(*value.shape[:-1], int(value.shape[-1] or 0) + more)))
        behind = graph.sole_consumer(name)
        assert behind is not None
        if behind.name == reader.name:
            return rebuild(graph, values=values, constants={key: Constant(array) for key, array in constants.items()})
        name = behind.outputs[0]


def cut_off(graph: Graph, floating: Graph) -> Graph:
    """Integer ``graph`` with the weights' scales from their peaks alone, so that a large bias is cut off at int32."""
    constants: dict[str, npt.NDArray[np.generic]] = {}
    quants: dict[str, Quant] = {}
    for node in weighted(graph):
        weight, bias = (floating.constants.get(name) for name in node.inputs[1:3])
        data = graph.value(node.inputs[0]).quant
        if weight is None or bias is None or data is None:
            continue
        peak = np.abs(weight.array.reshape(len(weight.array), -1)).max(1)
        scale = np.maximum(peak / 127, 1e-30).astype(np.float32)
        quants[node.inputs[1]] = Quant.per_axis(scale, 0)
        quants[node.inputs[2]] = Quant.per_axis(np.maximum(scale * np.float32(data.scale[0]), 1e-37), 0, DType.INT32)
        constants[node.inputs[1]] = quants[node.inputs[1]].to_integer(weight.array.astype(np.float32))
        constants[node.inputs[2]] = quants[node.inputs[2]].to_integer(bias.array.astype(np.float32))
    return edited(graph, constants, quants)


def pruned_afterwards(subject: Subject) -> Sabotaged:
    """Of the weights of every layer but the last the smaller 70 % set to zero, without any training."""
    graph = quantized(subject.graph, subject.calibration)
    constants = {}
    for node in weighted(graph)[:-1]:
        weight = graph.array(node.inputs[1]).astype(np.int16)
        constants[node.inputs[1]] = np.where(np.abs(weight) <= np.quantile(np.abs(weight), 0.7), 0, weight).astype(np.int8)
    return Sabotaged(subject.graph, edited(graph, constants), subject.judges)


def silenced_channels(subject: Subject) -> Sabotaged:
    """Every other channel of two layers has no weights."""
    graph = quantized(subject.graph, subject.calibration)
    constants = {}
    for node in weighted(graph)[1:3] if len(weighted(graph)) > 3 else weighted(graph)[:1]:
        weight = graph.array(node.inputs[1]).copy()
        weight[::2] = 0
        constants[node.inputs[1]] = weight
    return Sabotaged(subject.graph, edited(graph, constants), subject.judges)


def too_few_bits(subject: Subject) -> Sabotaged:
    """Two layers with weights of 2 bits, all else of 8."""
    graph = quantized(subject.graph, subject.calibration)
    constants: dict[str, npt.NDArray[np.generic]] = {}
    for node in weighted(graph)[1:3] if len(weighted(graph)) > 3 else weighted(graph)[:2]:
        steps = graph.array(node.inputs[1]).astype(np.float64) / 127
        constants[node.inputs[1]] = (127 * np.clip(np.rint(steps), -1, 1)).astype(np.int8)
    return Sabotaged(subject.graph, edited(graph, constants), subject.judges)


SABOTAGES: Mapping[str, tuple[Callable[[Subject], Sabotaged], str]] = {
    "calibrated in other units": (wrong_units, "preprocessing mismatch"),
    "calibrated on noise": (noise_for_calibration, "unlike calibration data"),
    "glitches in the data": (glitches, "range outliers"),
    "uneven channels, one scale": (uneven_channels, "channel imbalance"),
    "unequal branches": (unequal_branches, "scale clash"),
    "other batch-norm statistics": (other_statistics, "batch-norm drift"),
    "tiny rows, large biases": (tiny_rows, "saturating accumulator"),
    "pruned afterwards": (pruned_afterwards, "sparsity drift"),
    "channels silenced": (silenced_channels, "dead channels"),
    "2 bits in two layers": (too_few_bits, "low bit width"),
}
"""What was done → how, and the cause that the diagnosis must name."""


def subjects() -> list[Subject]:
    """Every network."""
    return [spoken_digits(), *(handwritten_digits(name) for name in ARCHITECTURES)]


def applies(name: str, subject: Subject) -> bool:
    """Unequal branches need branches; tiny rows and uneven channels need layers that follow each other."""
    if name == "unequal branches":
        return any(node.op.kind == "Concat" for node in subject.graph.nodes)
    needs = {"tiny rows, large biases": _followed, "uneven channels, one scale": _neighbours}
    return name not in needs or bool(needs[name](subject.graph))
