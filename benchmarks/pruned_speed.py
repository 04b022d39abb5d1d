"""What removed channels and blocks are worth on this computer: float32 files of ours before and after, one thread, one sample at a time.

MobileNetV2 at 224 with ImageNet weights, half of the multiply-accumulates; and the shape of ResNet-50 with random weights, half of the
channels of every layer. Dense and pruned run in turns in one process, in ONNX Runtime and in LiteRT with XNNPACK; a time is the median of
all turns, the ratio that of the medians. Read the ratios, not the milliseconds. Speed alone: nothing is fine-tuned here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import edgewright
from benchmarks.cases import real_photographs
from benchmarks.networks import ResNet50, imagenet_inputs, mobilenet_v2
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.steps import run_recipe
from edgewright.targets.target import load_target

TURNS = 25
MULTIPLE = 16


def rows() -> list[dict[str, object]]:
    """One row a network, way of pruning and runtime."""
    photographs = Data((imagenet_inputs(real_photographs(224)),))
    noise = Data((np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32),))
    torch.manual_seed(0)
    mobilenet = _clean(edgewright.load(mobilenet_v2(), [torch.zeros(1, 3, 224, 224)]), photographs)
    resnet = _clean(edgewright.load(ResNet50().eval(), [torch.zeros(1, 3, 224, 224)]), noise)
    half = {"budget": 0.5, "importance": "l2", "refit_layers": False, "multiple": MULTIPLE}
    found = []
    for name, graph, options in (
        ("MobileNetV2, half of the multiply-accumulates", mobilenet, {**half, "scope": "local"}),
        ("ResNet-50's shape, half of the channels", resnet, {**half, "scope": "local", "cost": "channels"}),
    ):
        ctx = Context(data=photographs, target=load_target("host"), costs={"channels": _channels})
        pruned = load_passes()["prune_channels"].function(graph, ctx, **options)
        found += _compared(name, graph, pruned)
    return found


def _channels(graph: Graph) -> float:
    """Output channels of all layers but the last."""
    layers = [node for node in graph.nodes if node.op.weight_inputs]
    return float(sum(graph.value(node.outputs[0]).shape[-1] or 0 for node in layers[:-1]))


def _clean(graph: Graph, data: Data) -> Graph:
    return run_recipe(graph, load_recipe("clean"), Context(data=data, target=load_target("host")))


def _compared(name: str, dense: Graph, pruned: Graph) -> list[dict[str, object]]:
    image = np.random.default_rng(0).random((1, 224, 224, 3)).astype(np.float32)
    costs = [cost(graph) for graph in (dense, pruned)]
    common = {"network": name, "multiply-accumulates": f"{costs[0].macs / 1e6:.0f} M -> {costs[1].macs / 1e6:.0f} M",
              "parameters": f"{costs[0].parameters / 1e6:.2f} M -> {costs[1].parameters / 1e6:.2f} M"}
    found: list[dict[str, object]] = []
    for runtime, prepare in (("ONNX Runtime", _onnxruntime), ("LiteRT, XNNPACK", _litert)):
        before, after = _medians([prepare(graph, image) for graph in (dense, pruned)])
        times = {"dense ms": round(1e3 * before, 2), "pruned ms": round(1e3 * after, 2), "times faster": round(before / after, 2)}
        found.append({**common, "runtime": runtime, **times})
    return found


def _medians(runs: list[Callable[[], object]]) -> list[float]:
    """The median seconds of each, all in turn."""
    seconds: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(TURNS):
        for run, own in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
    return [float(np.median(own)) for own in seconds]


def _onnxruntime(graph: Graph, image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = next(data for name, data in emit_onnx(graph).items() if name.endswith(".onnx"))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    planes = entry.shape[1] == 3
    feeds = {entry.name: np.ascontiguousarray(image.transpose(0, 3, 1, 2)) if planes else image}
    return lambda: session.run(None, feeds)


def _litert(graph: Graph, image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Callable[[], object]:
    model = next(data for name, data in emit_tflite(graph).items() if name.endswith(".tflite"))
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    return interpreter.invoke
