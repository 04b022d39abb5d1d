"""A graph as a module computes the same bytes, trains, and keeps the structures that it came with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops import BatchNorm, Conv2D, Dense, Mean, Relu, Softmax
from edgewright.ops.evaluate import evaluate
from edgewright.train.module import from_module, to_module
from tests.zoo import ZOO, quantize_zoo, zoo_inputs


def network() -> Graph:
    """Convolution, batch norm, dense, softmax; constants named as torch names them."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("small")
    x = b.input("x", (None, 6, 6, 2))
    weight = b.constant("features.0.weight", rng.normal(size=(4, 3, 3, 2)).astype(np.float32))
    x = b.node(Conv2D(padding=((1, 1), (1, 1))), [x, weight], name="convolution")
    norms = [b.constant(f"features.1.{name}", np.full(4, value, np.float32))
             for name, value in (("weight", 1.0), ("bias", 0.1), ("running_mean", 0.2), ("running_var", 1.5))]
    x = b.node(Relu(), [b.node(BatchNorm(), [x, *norms], name="norm")], name="relu")
    x = b.node(Mean(), [x])
    head = [b.constant("head.weight", rng.normal(size=(3, 4)).astype(np.float32)), b.constant("head.bias", np.zeros(3, np.float32))]
    return b.finish([b.node(Softmax(), [b.node(Dense(), [x, *head], name="dense")], name="softmax")])


def batch(count: int = 8) -> torch.Tensor:
    return torch.randn(count, 6, 6, 2, generator=torch.Generator().manual_seed(1))


def trained(module: torch.nn.Module, steps: int = 5) -> None:
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    labels = torch.arange(8) % 3
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module.logits(batch()), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("name", ZOO)
def test_a_module_gives_the_bytes_of_evaluation(name):
    graph = ZOO[name]()
    module = to_module(graph).eval()
    inputs = zoo_inputs(graph, 2)
    with torch.no_grad():
        outputs = module(*(torch.from_numpy(np.asarray(array, np.float32)) for array in inputs))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    # torch has two forms of a recurrent layer, with and without gradients in sight, which round apart.
    off = 1e-6 if any(node.op.kind in ("GRU", "LSTM") for node in graph) else 0.0
    for ours, expected in zip(outputs, evaluate(graph, inputs), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=off, atol=off)
    assert from_module(module) is graph


def test_parameters_bear_the_names_they_came_with():
    module = to_module(network())
    assert {name for name, _ in module.named_parameters()} == {
        "features.0.weight", "features.1.weight", "features.1.bias", "head.weight", "head.bias"
    }
    assert {name for name, _ in module.named_buffers()} == {"features.1.running_mean", "features.1.running_var"}
    other = to_module(network())
    trained(module)
    other.load_state_dict(module.state_dict())
    assert from_module(other).digest == from_module(module).digest != network().digest


def test_names_that_torch_refuses_get_others():
    b = GraphBuilder("odd")
    x = b.input("x", (None, 2))
    for name in ("forward", "a..b", "training.w", "graph", "layer", "layer.weight"):
        x = b.node(Dense(), [x, b.constant(name, np.eye(2, dtype=np.float32) * 2)])
    graph = b.finish([x])
    module = to_module(graph)
    assert len(list(module.parameters())) == 6
    np.testing.assert_array_equal(module(torch.ones(1, 2)).detach().numpy(), evaluate(graph, [np.ones((1, 2), np.float32)])[0])


def test_batch_norm_moves_as_in_torch():
    module, norm = to_module(network()).train(), torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.running_mean.fill_(0.2)
        norm.running_var.fill_(1.5)
        module(batch())
        norm(torch.nn.functional.conv2d(batch().permute(0, 3, 1, 2), module.raw("features.0.weight").permute(0, 3, 1, 2), padding=1))
    torch.testing.assert_close(module.raw("features.1.running_mean"), norm.running_mean)
    torch.testing.assert_close(module.raw("features.1.running_var"), norm.running_var)
    before = module.raw("features.1.running_mean").clone()
    module.eval()(batch())
    assert torch.equal(before, module.raw("features.1.running_mean"))


def test_checkpointed_activations_change_no_gradient_and_no_statistic():
    plain, spare = to_module(network()), to_module(network(), checkpointed=True)
    trained(plain)
    trained(spare)
    assert from_module(plain).digest == from_module(spare).digest


def with_structure(structure: Structure, array: np.ndarray) -> Graph:
    return rebuild(network(), constants={"features.0.weight": Constant(array, structure)})


def test_pruned_weights_stay_zero():
    array = np.array(network().array("features.0.weight"))
    mask = np.random.default_rng(1).random(array.shape) < 0.5
    graph = with_structure(Structure(mask=mask, pattern=(2, 4)), array * mask)
    module = to_module(graph)
    trained(module)
    after = from_module(module).constants["features.0.weight"]
    assert np.array_equal(after.array != 0, mask) and not np.array_equal(after.array, graph.array("features.0.weight"))
    assert after.structure is not None and after.structure.pattern == (2, 4) and np.array_equal(after.structure.mask, mask)


@pytest.mark.parametrize("rows", [1, 4])
def test_clustered_weights_keep_their_assignments(rows):
    rng = np.random.default_rng(2)
    book = np.sort(rng.normal(size=(rows, 3)).astype(np.float32), axis=1)
    codes = rng.integers(0, 3, (4, 18))
    array = np.take_along_axis(np.broadcast_to(book, (4, 3)), codes, axis=1).reshape(4, 3, 3, 2)
    module = to_module(with_structure(Structure(codebook=book), array))
    trained(module)
    after = from_module(module).constants["features.0.weight"]
    assert after.structure is not None and after.structure.codebook is not None and not np.array_equal(after.structure.codebook, book)
    expected = np.take_along_axis(np.broadcast_to(after.structure.codebook, (4, 3)), codes, axis=1)
    np.testing.assert_array_equal(after.array.reshape(4, 18), expected)


@pytest.mark.slow
def test_a_module_can_be_compiled(needs_cc):
    module = to_module(network()).eval()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch()), module(batch()))


def test_the_first_layer_that_is_not_finite_is_named():
    module = to_module(network())
    assert module.first_not_finite(batch()) is None
    with torch.no_grad():
        module.raw("features.1.running_var").fill_(-1.0)
    assert module.eval().first_not_finite(batch()) == "norm"
    with torch.no_grad():
        module.raw("head.bias")[0] = float("nan")
    assert module.first_not_finite(batch()) == "head.bias"
    with pytest.raises(ModelError, match="'head.bias' holds numbers that are not finite"):
        from_module(module)


def test_refusals():
    with pytest.raises(UnsupportedError, match="at the integer level, which has no gradients"):
        to_module(quantize_zoo(ZOO["dense_autoencoder"](), clean=True))
    with pytest.raises(ModelError, match="no constant 'nothing'"):
        to_module(network(), trainable=["nothing"])
    with pytest.raises(ModelError, match="Linear was not made of a graph"):
        from_module(torch.nn.Linear(1, 1))
    with pytest.raises(ModelError, match="takes 1 inputs, got 2"):
        to_module(network())(batch(), batch())
