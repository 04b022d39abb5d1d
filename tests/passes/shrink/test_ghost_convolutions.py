"""Convolutions become ghost modules that say nearly the same, and say why they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import edgewright
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops import Add, Conv2D, Dense, DepthwiseConv2D, Mean
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import Recipe, Step
from edgewright.search.advise import IDEAS, advise
from edgewright.targets.target import load_target
from tests.train.digits import digit_images, need_training, trained_digits

PASSES = load_passes()
SAME = ((1, 1), (1, 1))


def redundant(*, residual: bool = False, mask: bool = False) -> tuple[Graph, np.ndarray]:
    """A convolution half of whose channels are filtered copies of the others, shuffled; behind it a convolution with 1x1 filters."""
    rng = np.random.default_rng(0)
    net = GraphBuilder("redundant")
    base = rng.normal(size=(4, 1, 1, 3))
    copies = np.einsum("oabi,okl->okli", base, rng.normal(size=(4, 3, 3)))
    whole = np.zeros((8, 3, 3, 3))
    whole[:4, 1, 1], whole[4:] = base[:, 0, 0], copies
    whole = whole[rng.permutation(8)]
    x = net.input("x", (None, 10, 10, 3))
    y = net.node(Conv2D(padding=SAME), [x, net.constant("wide", whole.astype(np.float32))], name="wide")
    if residual:
        side = net.constant("side", rng.normal(size=(8, 1, 1, 3)).astype(np.float32))
        y = net.node(Add(), [y, net.node(Conv2D(), [x, side])], name="add")
    narrow = rng.normal(size=(5, 1, 1, 8)).astype(np.float32)
    structure = None
    if mask:
        narrow[np.abs(narrow) < 0.5] = 0
        structure = Structure(mask=narrow != 0)
    z = net.node(Conv2D(activation="relu"), [y, net.constant("narrow", narrow, structure=structure)], name="narrow")
    head = net.constant("head", rng.normal(size=(3, 5)).astype(np.float32))
    return net.finish([net.node(Dense(), [net.node(Mean((1, 2)), [z]), head])]), rng.normal(size=(40, 10, 10, 3)).astype(np.float32)


@pytest.mark.parametrize("mask", [False, True])
def test_a_redundant_convolution_loses_nothing_inside(mask: bool) -> None:
    """All but the border, where filtering zeros is not filtering the image beyond, is as it was; the reader's columns follow."""
    graph, images = redundant(mask=mask)
    ctx = Context(data=Data((images,)))
    result = PASSES["ghost_convolutions"].function(graph, ctx, most=1, worst=0.3)
    assert [node.op.kind for node in result.nodes][:4] == ["Conv2D", "DepthwiseConv2D", "Concat", "Conv2D"]
    (line,) = [line for line in ctx.lines if line.action == "did"]
    assert line.where == "wide" and "4 of 8 channels as ghosts: 21,600 → 14,400 macs" in line.detail
    before, after = ({node.name: node for node in one.nodes}["narrow"].outputs[0] for one in (graph, result))
    seen: dict[str, torch.Tensor] = {}
    for name, one in ((before, graph), (after, result)):
        def look(value, x, name=name, key=one.digest):
            if value.name == name:
                seen[key] = x.clone()
        evaluate(one, [images], observe=look)
    inside = [seen[one.digest][:, 2:-2, 2:-2] for one in (graph, result)]
    assert float((inside[0] - inside[1]).square().mean() / inside[0].square().mean()) < 0.02
    if mask:
        weight = result.constants["narrow"]
        assert weight.structure is not None and weight.structure.mask is not None
        np.testing.assert_array_equal(weight.structure.mask, weight.array != 0)
        assert (weight.array != graph.array("narrow")).any(), "columns changed places"


def test_channels_that_others_meet_keep_their_places() -> None:
    graph, images = redundant(residual=True)
    result = PASSES["ghost_convolutions"].function(graph, Context(data=Data((images,))), worst=1.0)
    (join,) = [node for node in result.nodes if node.name == "wide"]
    assert join.op.kind == "Concat"
    computed = result.array(next(node for node in result.nodes if node.name == "wide_computed").inputs[1])
    np.testing.assert_array_equal(computed, graph.array("wide")[:4])
    np.testing.assert_array_equal(result.array("narrow"), graph.array("narrow"))


def test_digits_and_distillation() -> None:
    need_training()
    data, test = digit_images()
    graph = trained_digits()
    ctx = Context(data=data, teacher=graph)
    result = PASSES["ghost_convolutions"].function(graph, ctx, worst=0.9)
    assert cost(result).macs < 0.75 * cost(graph).macs
    assert sum(isinstance(node.op, DepthwiseConv2D) for node in result.nodes) >= 1
    repaired = PASSES["distill"].function(result, ctx, epochs=3, learning_rate=0.01)
    wanted = evaluate(graph, test.inputs)[0].argmax(-1)
    agreed = [(evaluate(one, test.inputs)[0].argmax(-1) == wanted).mean() for one in (result, repaired)]
    assert agreed[1] > max(0.85, agreed[0] - 0.02)
    blind = PASSES["ghost_convolutions"].function(graph, Context(), worst=0.9)
    assert (evaluate(blind, test.inputs)[0].argmax(-1) == wanted).mean() < agreed[0], "data count"


def test_what_is_left_alone() -> None:
    graph, images = redundant()
    ctx = Context(data=Data((images,)))
    assert PASSES["ghost_convolutions"].function(graph, ctx, worst=1e-6) is graph
    assert any("would be lost, more than 0.0%" in line.detail for line in ctx.lines)
    depthwise = {"cycles": lambda one: float(any(isinstance(node.op, DepthwiseConv2D) for node in one.nodes))}
    slow = Context(data=Data((images,)), costs=depthwise)
    assert PASSES["ghost_convolutions"].function(graph, slow, worst=1.0) is graph
    assert "it would take 1 cycles instead of 0 on the target" in [line.detail for line in slow.lines]
    odd = Context(data=Data((images,)))
    PASSES["ghost_convolutions"].function(graph, odd, ratio=4, worst=1.0)
    assert ("narrow", "5 channels do not divide by 4") in [(line.where, line.detail) for line in odd.lines]
    for options in ({"ratio": 1}, {"kernel": 2}, {"worst": 0.0}, {"most": -1}, {"samples": -1}):
        with pytest.raises(RecipeError):
            PASSES["ghost_convolutions"].function(graph, Context(), **options)


def test_structures_are_not_broken() -> None:
    graph, images = redundant()
    weight = graph.array("wide")
    held = dict(graph.constants) | {"wide": Constant(weight, Structure(mask=weight != 0))}
    masked = Graph(graph.name, graph.level, graph.inputs, graph.outputs, graph.nodes, graph.values, held)
    ctx = Context(data=Data((images,)))
    PASSES["ghost_convolutions"].function(masked, ctx, worst=0.3)
    assert ("wide", "its weights have a structure, which would not be kept") in [(line.where, line.detail) for line in ctx.lines]


def test_those_that_save_most_come_first() -> None:
    rng = np.random.default_rng(0)
    net = GraphBuilder("two")
    y = net.input("x", (None, 8, 8, 4))
    for name, channels in (("small", 4), ("large", 8)):
        y = net.node(Conv2D(padding=SAME), [y, net.constant(name, rng.normal(size=(8, 3, 3, channels)).astype(np.float32))], name=name)
    ctx = Context()
    result = PASSES["ghost_convolutions"].function(net.finish([y]), ctx, worst=1.0, most=1)
    assert [(line.where, line.action) for line in ctx.lines] == [("small", "skipped"), ("large", "did")]
    assert "others save more and 1 were asked for" in ctx.lines[0].detail
    assert [node.name for node in result.nodes] == ["small", "large_computed", "large_ghosts", "large"]


def test_ghosts_deploy_and_advise_knows_them() -> None:
    graph, images = redundant()
    recipe = Recipe("ghosts", (Step("ghost_convolutions", {"worst": 0.3}), Step("quantize_static")))
    result = edgewright.optimize(graph, recipe=recipe, target="cortex-m4", data=Data((images,)), formats=["c", "tflite"])
    assert result.program is not None
    run = edgewright.measure(result, Data((images[:2],)), target="host")
    integers = edgewright.ops.evaluate.quantize_inputs(result.graph, (images[:2],))
    np.testing.assert_array_equal(run.outputs[0], evaluate(result.graph, integers)[0])
    (idea,) = [idea for idea in IDEAS if idea.steps and idea.steps[0].name == "ghost_convolutions"]
    (advice,) = advise(graph, load_target("cortex-m4"), data=Data((images,)), ideas=[idea])
    assert advice.verdict in ("pays", "does not pay", "does not apply") and advice.steps
