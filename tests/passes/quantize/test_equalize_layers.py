"""Cross-layer equalization: the same outputs, channels of like size, structures kept, and a halt at what does not let factors through."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops import Add, MaxPool2D, Relu, Relu6
from tests.passes.check import Net, apply, unchanged


def uneven(graph: Graph, name: str) -> Graph:
    """``graph`` with the rows of layer ``name`` of very different size."""
    weight, bias = graph.constants[f"{name}/weight"].array, graph.constants[f"{name}/bias"].array
    sizes = np.geomspace(0.01, 10, len(weight)).astype(np.float32)
    shaped = weight * sizes.reshape(-1, *[1] * (weight.ndim - 1))
    return rebuild(graph, constants={f"{name}/weight": Constant(shaped), f"{name}/bias": Constant(bias * sizes)})


def separable(activation: str = "relu") -> Graph:
    net = Net()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 8, "first", activation=activation)
    y = net.depthwise(y, "deep", padding=1, activation=activation)
    y = net.apply(MaxPool2D(), [y], "pool")
    return uneven(net.finish([net.conv(y, 4, "last")]), "first")


def spread(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], axis: int) -> float:
    """The largest channel over the smallest."""
    rows = np.abs(np.moveaxis(np.asarray(array, np.float64), axis, 0)).reshape(array.shape[axis], -1).max(1)
    return float(rows.max() / rows.min())


def test_depthwise_chain_is_even_on_both_sides() -> None:
    graph = separable()
    after, ctx = apply("equalize_layers", graph)
    assert {line.where for line in ctx.lines} == {"first", "deep"}
    for maker, reader, axis in (("first", "deep", 0), ("deep", "last", 3)):
        rows = np.abs(after.array(f"{maker}/weight")).reshape(8, -1).max(1)
        columns = np.abs(np.moveaxis(after.array(f"{reader}/weight"), axis, 0)).reshape(8, -1).max(1)
        np.testing.assert_allclose(rows, columns, rtol=0.1)
    assert spread(graph.array("first/weight"), 0) > 100 > 20 > spread(after.array("first/weight"), 0)


def test_relu6_holds_factors_up_and_the_report_says_so() -> None:
    ctx = unchanged("equalize_layers", separable("relu6"))
    assert all("clipped at 6" in line.detail for line in ctx.lines) and len(ctx.lines) == 2
    net = Net()
    y = net.apply(Relu6(), [net.conv(net.enter("x", (None, 4, 4, 2)), 4, "first")], "clip")
    unchanged("equalize_layers", uneven(net.finish([net.conv(y, 3, "last")]), "first"))


def test_an_activation_of_its_own_passes_and_several_readers_share_the_factor() -> None:
    net = Net()
    y = net.apply(Relu(), [net.conv(net.enter("x", (None, 4, 4, 2)), 4, "first")], "relu")
    graph = uneven(net.finish([net.conv(y, 3, "one"), net.conv(y, 2, "other", kernel=3)]), "first")
    after, _ = apply("equalize_layers", graph)
    assert spread(after.array("first/weight"), 0) < spread(graph.array("first/weight"), 0) / 10


def test_residual_additions_and_outputs_stay() -> None:
    net = Net()
    first = net.conv(net.enter("x", (None, 4, 4, 2)), 4, "first")
    both = net.apply(Add(), [first, net.conv(first, 4, "second")], "add")
    unchanged("equalize_layers", uneven(net.finish([net.conv(both, 3, "last")]), "first"))
    net = Net()
    first = net.conv(net.enter("x", (None, 4, 4, 2)), 4, "first")
    unchanged("equalize_layers", uneven(net.finish([net.conv(first, 3, "last"), first]), "first"))


def test_masks_and_codebooks_stay_true() -> None:
    graph = separable()
    weight = graph.array("first/weight").copy()
    weight[:, :, :, 1] = 0
    codes = np.where(weight != 0, np.float32(0.5), np.float32(0))
    table = Structure(mask=weight != 0, codebook=np.array([0, 0.5], np.float32))
    graph = rebuild(graph, constants={"first/weight": Constant(codes, table)})
    after, _ = apply("equalize_layers", graph)
    constant = after.constants["first/weight"]
    structure = constant.structure
    assert structure is not None and structure.codebook is not None and structure.mask is not None
    assert not constant.array[~structure.mask].any()
    for row, values in zip(constant.array, structure.codebook, strict=True):
        assert np.isin(row, values).all()


def test_a_codebook_behind_cannot_take_factors() -> None:
    graph = separable()
    constant = graph.constants["last/weight"]
    held = dataclasses.replace(constant, structure=Structure(codebook=np.unique(constant.array)))
    after, ctx = apply("equalize_layers", rebuild(graph, constants={"last/weight": held}))
    assert [line.where for line in ctx.lines if line.action == "did"] == ["first"]
    np.testing.assert_array_equal(after.array("last/weight"), constant.array)
