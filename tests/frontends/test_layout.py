"""Random networks on every road: torch and ONNX in, ONNX out and in again, float and integers; layouts must survive it all."""

from __future__ import annotations

import io
import itertools
import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewright.emit.onnx import emit_onnx
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.targets.target import load_target
from tests.frontends.random_networks import RandomNetwork
from tests.zoo import quantize_zoo

SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 300))]


def as_held(x: torch.Tensor, graph: Graph) -> NDArray[np.float32]:
    """The input in the order in which the graph holds it: its sizes all differ."""
    shape = graph.value(graph.inputs[0]).shape
    assert shape[0] is None
    order = next(order for order in itertools.permutations(range(1, x.dim())) if tuple(x.shape[axis] for axis in order) == shape[1:])
    return x.permute(0, *order).contiguous().numpy()


def close(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> bool:
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(seed: int) -> None:
    network = RandomNetwork(seed, 12).eval()
    x = torch.randn(network.shape)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (x,), file, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "n"}} if seed % 2 else None
        )
    expected = network(x).detach().numpy()
    last = expected.transpose(0, *range(2, expected.ndim), 1) if expected.ndim > 2 else expected
    for graph in (load_torch(network, x), load_onnx(file.getvalue())):
        held = as_held(x, graph)
        (found,) = evaluate(graph, [held])
        assert close(found, expected) or close(found, last)
        files = emit_onnx(graph)
        assert close(run_onnxruntime(files, [held]).outputs[0], found)
        again = load_onnx(next(iter(files.values())))
        assert close(evaluate(again, [held])[0], found)
        integer = quantize_zoo(graph)
        integers = quantize_inputs(integer, [held])
        returned = lower_integer(load_onnx(next(iter(emit_onnx(integer, activations="uint8").values()))), load_target("cortex-m4"))
        assert evaluate(returned, integers)[0].tobytes() == evaluate(integer, integers)[0].tobytes()
