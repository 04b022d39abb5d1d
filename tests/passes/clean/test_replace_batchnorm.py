from __future__ import annotations

from edgewright.ops import Relu
from tests.passes.check import apply, kinds, unchanged
from tests.passes.clean.test_fold_batchnorm import BatchNet


def test_images_get_a_depthwise_convolution() -> None:
    net = BatchNet()
    y = net.norm(net.enter("x", (None, 4, 4, 3)), "bn")
    after, _ = apply("replace_batchnorm", net.finish([net.apply(Relu(), [y], "relu")]))
    assert kinds(after) == ["DepthwiseConv2D", "Relu"]
    assert kinds(apply("fold_activations", after)[0]) == ["DepthwiseConv2D"]


def test_other_tensors_get_a_product_and_a_sum() -> None:
    for size in ((None, 5), (None, 3, 5)):
        net = BatchNet()
        y = net.norm(net.norm(net.enter("x", size), "bn1"), "bn1_scaled")
        after, _ = apply("replace_batchnorm", net.finish([y]))
        assert kinds(after) == ["Mul", "Add", "Mul", "Add"] and after.outputs == ("bn1_scaled",)
        assert kinds(apply("fold_scalars", after)[0]) == ["Mul", "Add"]


def test_nothing_to_replace() -> None:
    net = BatchNet()
    unchanged("replace_batchnorm", net.finish([net.conv(net.enter("x", (None, 4, 4, 3)), 2, "conv")]))
