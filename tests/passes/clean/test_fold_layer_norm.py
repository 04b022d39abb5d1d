from __future__ import annotations

import numpy as np
import pytest

from edgewright.ops import Add, Mean, Mul, Rsqrt, Sub
from tests.passes.check import Net, apply, kinds, unchanged


def written_out(net: Net, x: str, axis: int = 2, *, twice: bool = False) -> str:
    """(x - mean) * rsqrt(variance + epsilon); ``twice``: the difference is computed for each use."""
    average = net.apply(Mean((axis,), keep_dims=True), [x], "average")
    centred = net.apply(Sub(), [x, average], "centred")
    again = net.apply(Sub(), [x, average], "again") if twice else centred
    variance = net.apply(Mean((axis,), keep_dims=True), [net.apply(Mul(), [again, again], "squares")], "variance")
    safe = net.apply(Add(), [variance, net.constant("epsilon", np.asarray([1e-3], np.float32))], "safe")
    return net.apply(Mul(), [net.apply(Rsqrt(), [safe], "inverse"), centred], "unit")


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("affine", ["none", "scale", "both", "one number"])
def test_the_formula_becomes_an_operator(twice: bool, affine: str) -> None:
    net = Net()
    y = written_out(net, net.enter("x", (None, 4, 6)), twice=twice)
    size = 1 if affine == "one number" else 6
    if affine != "none":
        y = net.apply(Mul(), [net.constant("scale", net.numbers(size)), y], "scaled")
    if affine in ("both", "one number"):
        y = net.apply(Add(), [y, net.constant("offset", net.numbers(size))], "shifted")
    after, ctx = apply("fold_layer_norm", net.finish([y]))
    assert "LayerNorm" in kinds(after) and after.outputs == (y,)
    (node,) = [node for node in after.nodes if node.op.kind == "LayerNorm"]
    assert node.op.attributes()["epsilon"] == pytest.approx(1e-3) and node.inputs[0] == "x"
    assert kinds(apply("fold_layer_norm", after)[0]) == kinds(after) and "6 channels" in ctx.lines[0].detail


def test_other_axes_and_other_formulas_stay() -> None:
    net = Net()
    unchanged("fold_layer_norm", net.finish([written_out(net, net.enter("x", (None, 4, 6)), axis=1)]))
    net = Net()
    x = net.enter("x", (None, 4, 6))
    y = net.enter("y", (None, 4, 6))
    unchanged("fold_layer_norm", net.finish([net.apply(Mul(), [net.apply(Sub(), [x, y], "apart"), net.apply(Rsqrt(), [x], "root")], "z")]))
