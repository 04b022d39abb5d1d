from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Structure
from edgewright.ops import BatchNorm, Conv2D, MaxPool2D, Relu, Reshape, TransposeConv2D
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from tests.passes.check import Net, apply, kinds, unchanged


class BatchNet(Net):
    """A float net with batch normalization."""

    def norm(self, source: str, name: str, offset: float | None = None) -> str:
        channels = int(self.value(source).shape[-1] or 0)
        scale = self.rng.normal(size=channels).astype(np.float32)
        shift = self.rng.normal(size=channels).astype(np.float32) if offset is None else np.full(channels, offset, np.float32)
        mean = self.rng.normal(size=channels).astype(np.float32) if offset is None else np.zeros(channels, np.float32)
        variance = self.rng.uniform(0.5, 2, channels).astype(np.float32)
        arrays = {"scale": scale, "offset": shift, "mean": mean, "variance": variance}
        parts = [self.constant(f"{name}/{part}", array) for part, array in arrays.items()]
        return self.node(BatchNorm(1e-3), [source, *parts], name=name)


def test_into_every_kind_of_layer() -> None:
    net = BatchNet()
    y = net.norm(net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv", kernel=3, padding=1), "bn1")
    y = net.norm(net.depthwise(y, "depthwise", multiplier=2, padding=1), "bn2")
    y = net.norm(net.layer(TransposeConv2D((2, 2)), y, "transposed", net.numbers(3, 3, 3, 8)), "bn3")
    y = net.norm(net.dense(y, 4, "dense"), "bn4")
    after, ctx = apply("fold_batchnorm", net.finish([y]))
    assert kinds(after) == ["Conv2D", "DepthwiseConv2D", "TransposeConv2D", "Dense"] and after.outputs == ("bn4",)
    names = ("conv", "depthwise", "transposed", "dense")
    assert [line.detail for line in ctx.lines] == [f"BatchNorm folded into '{name}'" for name in names]


def test_across_a_reshape_that_leaves_the_channels() -> None:
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 1, 6, 3)), 4, "conv")
    y = net.norm(net.apply(Reshape((None, 6, 4)), [y], "flat"), "bn")
    after, _ = apply("fold_batchnorm", net.finish([y]))
    assert kinds(after) == ["Conv2D", "Reshape"]
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 1, 6, 3)), 4, "conv")
    unchanged("fold_batchnorm", net.finish([net.norm(net.apply(Reshape((None, 24)), [y], "flat"), "bn")]))


def test_into_the_layer_behind_where_it_pads_nothing() -> None:
    net = BatchNet()
    y = net.apply(MaxPool2D(), [net.enter("x", (None, 6, 6, 3))], "max")
    after, _ = apply("fold_batchnorm", net.finish([net.conv(net.norm(y, "bn"), 4, "conv", kernel=3)]))
    assert kinds(after) == ["MaxPool2D", "Conv2D"]
    net = BatchNet()
    y = net.norm(net.apply(MaxPool2D(), [net.enter("x", (None, 6, 6, 3))], "max"), "bn")
    unchanged("fold_batchnorm", net.finish([net.conv(y, 4, "conv", kernel=3, padding=1)]))


def test_an_offset_of_zero_goes_through_padding() -> None:
    net = BatchNet()
    y = net.norm(net.apply(MaxPool2D(), [net.enter("x", (None, 6, 6, 3))], "max"), "bn", offset=0.0)
    y = net.depthwise(y, "depthwise", multiplier=2, padding=1)
    after, _ = apply("fold_batchnorm", net.finish([y]))
    assert kinds(after) == ["MaxPool2D", "DepthwiseConv2D"]


def test_two_in_a_row() -> None:
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv")
    after, _ = apply("fold_batchnorm", net.finish([net.norm(net.norm(y, "bn1"), "bn2")]))
    assert kinds(after) == ["Conv2D"]


def test_what_stands_between_or_reads_along_stops_it() -> None:
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv", activation="relu")
    unchanged("fold_batchnorm", net.finish([net.norm(y, "bn")]))
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv")
    unchanged("fold_batchnorm", net.finish([net.norm(net.apply(Relu(), [y], "relu"), "bn1"), net.norm(y, "bn2")]))


def test_a_weight_that_two_layers_share_is_copied() -> None:
    net = BatchNet()
    x = net.enter("x", (None, 6, 6, 3))
    first = net.conv(x, 4, "one")
    second = net.node(Conv2D(), [net.apply(Relu(), [x], "relu"), "one/weight", "one/bias"], name="two")
    after, _ = apply("fold_batchnorm", net.finish([net.norm(first, "bn1"), net.norm(second, "bn2")]))
    assert len({node.inputs[1:] for node in after.nodes if node.op.kind == "Conv2D"}) == 2


def test_structure_stays_true() -> None:
    net = BatchNet()
    y = net.conv(net.enter("x", (None, 6, 6, 4)), 4, "conv")
    graph = net.finish([net.norm(y, "bn")])
    weight = np.array([0.0, 0.5, -1.0], np.float32)[net.rng.integers(0, 3, (4, 1, 1, 4))]
    mask, codebook = weight != 0, np.array([0.0, 0.5, -1.0], np.float32)
    after, _ = apply("fold_batchnorm", rebuild(graph, constants={"conv/weight": Constant(weight, Structure(mask=mask, codebook=codebook))}))
    constant = after.constants["conv/weight"]
    structure = constant.structure
    assert structure is not None and structure.mask is not None and structure.codebook is not None and structure.codebook.shape == (4, 3)
    assert not constant.array[~structure.mask].any()
    for row, values in zip(constant.array, structure.codebook, strict=True):
        assert np.min(np.abs(row.reshape(-1, 1) - values), axis=1).max() < 1e-6


def test_a_dead_channel_of_the_normalization_is_dead_in_the_weights() -> None:
    net = BatchNet()
    y = net.norm(net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv"), "bn")
    graph = net.finish([net.conv(y, 2, "last")])
    scale = graph.array("bn/scale").copy()
    scale[1] = 0
    folded, _ = apply("fold_batchnorm", rebuild(graph, constants={"bn/scale": Constant(scale)}))
    after, _ = apply("remove_dead_channels", folded)
    assert after.value("conv/weight").shape == (3, 1, 1, 3)


def test_statistics_that_are_computed_stop_it() -> None:
    net = BatchNet()
    y = net.norm(net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv"), "bn")
    mean = net.input("mean", (4,))
    graph = net.finish([y])
    node = dataclasses.replace(graph.nodes[1], inputs=(*graph.nodes[1].inputs[:3], mean, graph.nodes[1].inputs[4]))
    graph = rebuild(graph, nodes=[graph.nodes[0], node], values=[net.value(mean)], inputs=["x", mean])
    assert find_pass("fold_batchnorm").function(graph, Context()) is graph
