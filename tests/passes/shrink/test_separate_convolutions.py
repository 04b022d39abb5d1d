"""Convolutions become separable ones that say nearly the same, and say why they do not."""

from __future__ import annotations

import pytest

from edgewright.errors import RecipeError
from edgewright.ops import Conv2D, DepthwiseConv2D
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from tests.train.digits import digit_images, need_training, trained_digits

PASSES = load_passes()


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def test_a_convolution_becomes_depthwise_and_distillation_repairs_it():
    data, test = digit_images()
    graph = trained_digits()
    ctx = Context(data=data, teacher=graph)
    result = PASSES["separate_convolutions"].function(graph, ctx, worst=0.9)
    kinds = [node.op.kind for node in result.nodes]
    assert kinds[:3] == ["Conv2D", "DepthwiseConv2D", "Conv2D"], "the first layer has one input channel"
    assert cost(result).macs < 0.55 * cost(graph).macs
    (line,) = ctx.lines
    assert line.where == "second" and "depthwise-separable: 20,736 → 4,032 macs" in line.detail
    repaired = PASSES["distill"].function(result, ctx, epochs=3, learning_rate=0.01, loss="layers")
    wanted = evaluate(graph, test.inputs)[0].argmax(-1)
    agreed = [(evaluate(one, test.inputs)[0].argmax(-1) == wanted).mean() for one in (result, repaired)]
    assert agreed[0] > 0.3 and agreed[1] > max(0.6, agreed[0] - 0.02)


def test_groups():
    graph = trained_digits()
    result = PASSES["separate_convolutions"].function(graph, Context(data=digit_images()[0]), form="groups", groups=3, worst=1.0)
    (second,) = [node for node in result.nodes if node.name == "second"]
    assert isinstance(second.op, Conv2D) and second.op.groups == 3 and second.op.activation == "relu"
    assert result.array(second.inputs[1]).shape == (12, 3, 3, 4)
    ctx = Context()
    assert PASSES["separate_convolutions"].function(graph, ctx, form="groups", groups=5) is graph
    assert "do not divide into 5 groups" in ctx.lines[0].detail


def test_what_is_left_alone():
    graph = trained_digits()
    ctx = Context(data=digit_images()[0])
    assert PASSES["separate_convolutions"].function(graph, ctx, worst=0.001) is graph
    assert "would be lost, more than 0.1%" in ctx.lines[0].detail
    slow = Context(costs={"cycles": lambda one: float(any(isinstance(node.op, DepthwiseConv2D) for node in one.nodes))})
    assert PASSES["separate_convolutions"].function(graph, slow, worst=1.0) is graph
    assert slow.lines[0].detail == "it would take 1 cycles instead of 0 on the target"
    for options in ({"form": "ghost"}, {"groups": 1}, {"worst": 0.0}, {"rounds": -1}):
        with pytest.raises(RecipeError):
            PASSES["separate_convolutions"].function(graph, Context(), **options)
