"""Slices forwards and backwards: numpy's, in the reals and in every file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ModelError
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate
from edgewright.ops.slice import Slice
from edgewright.pipeline import emit, load
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.run.tflm import run_tflm

CASES = {
    "whole, backwards": ((0, 5, 0), (None, 6, 4), (1, -1, 1)),
    "both axes": ((0, 5, 3), (None, 6, 4), (1, -1, -1)),
    "every second": ((0, 5, 0), (None, 3, 4), (1, -2, 1)),
    "inside": ((0, 4, 1), (None, 3, 2), (1, -1, 2)),
    "to the first": ((0, 3, 2), (None, 4, 3), (1, -1, -1)),
    "forwards": ((0, 1, 0), (None, 2, 4), (1, 3, 1)),
}


def network(name: str) -> Graph:
    net = GraphBuilder("net")
    return net.finish([net.node(Slice(*CASES[name]), [net.input("x", (None, 6, 4))], name="y")])


def taken(name: str, x: np.ndarray) -> np.ndarray:
    begin, size, stride = CASES[name]
    for axis in (1, 2):
        x = np.take(x, [begin[axis] + step * stride[axis] for step in range(size[axis] or 0)], axis)
    return x


@pytest.mark.parametrize("name", CASES)
def test_every_room_takes_the_same(name: str, needs_tflite_micro: None) -> None:
    graph, x = network(name), np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    want = taken(name, x)
    np.testing.assert_array_equal(evaluate(graph, [x])[0], want)
    files = emit_tflite(graph)
    back = load_tflite(next(iter(files.values())))
    np.testing.assert_array_equal(evaluate(back, [x])[0], want)
    for run in (run_litert, run_tflm):
        np.testing.assert_array_equal(run(files, [x]).outputs[0], want)
    onnx = emit(graph, ["onnx"])
    np.testing.assert_array_equal(run_onnxruntime(onnx, [x]).outputs[0].reshape(want.shape), want)


def test_gradients_go_backwards_too() -> None:
    x = torch.arange(24.0).reshape(1, 6, 4).requires_grad_()
    (y,) = Slice(*CASES["every second"]).evaluate([x])
    (y * torch.tensor([1.0, 2.0, 3.0])[None, :, None]).sum().backward()
    assert x.grad is not None and x.grad[0, :, 0].tolist() == [0.0, 3.0, 0.0, 2.0, 0.0, 1.0]


@pytest.mark.parametrize(("begin", "size", "stride"), [(2, 4, -1), (6, 2, -1), (0, 2, 0), (5, 3, 1)])
def test_what_does_not_fit(begin: int, size: int, stride: int) -> None:
    net = GraphBuilder("net")
    x = net.input("x", (None, 6))
    with pytest.raises(ModelError, match=f"{size} elements from {begin} on, {stride} apart, do not fit into 6"):
        net.node(Slice((0, begin), (None, size), (1, stride)), [x])


def test_a_saved_graph_comes_back(tmp_path) -> None:
    from edgewright.ir.serial import save_graph

    graph = network("both axes")
    save_graph(graph, tmp_path / "net.npz")
    assert load(tmp_path / "net.npz").digest == graph.digest
