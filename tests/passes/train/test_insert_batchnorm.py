"""Batch norm put back changes nothing, can be trained, and folds away again."""

from __future__ import annotations

import numpy as np
import torch

from edgewright.data import Data
from edgewright.ops import BatchNorm
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.train.module import from_module, to_module
from tests.zoo import ZOO, clean_zoo, zoo_inputs

PASSES = load_passes()


def test_batch_norm_comes_back_and_goes_again():
    graph = clean_zoo(ZOO["inverted_bottleneck"]())
    data = Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 40)))
    result = PASSES["insert_batchnorm"].function(graph, Context(data=data))
    norms = [node for node in result.nodes if isinstance(node.op, BatchNorm)]
    layers = [node for node in graph.nodes if node.op.weight_inputs]
    assert len(norms) == len(layers) - 1
    for node in layers[:-1]:
        weight = result.array(node.inputs[1])
        np.testing.assert_allclose(np.linalg.norm(weight.reshape(len(weight), -1), axis=1), np.sqrt(2), rtol=1e-4)
    module = to_module(result).train()
    tensors = [torch.from_numpy(array) for array in data.inputs]
    with torch.no_grad():
        torch.testing.assert_close(module(*tensors).numpy(), evaluate(graph, data.inputs)[0], rtol=1e-3, atol=1e-4)
    module(*tensors).square().sum().backward()
    torch.optim.SGD(module.parameters(), 1e-4).step()
    trained = from_module(module)
    folded = clean_zoo(trained)
    assert not any(isinstance(node.op, BatchNorm) for node in folded.nodes) and len(folded.nodes) == len(graph.nodes)
    np.testing.assert_allclose(evaluate(folded, data.inputs)[0], evaluate(trained, data.inputs)[0], rtol=1e-4, atol=1e-4)
