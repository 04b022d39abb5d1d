"""Quantization-aware training computes the device's integers, before, during and after training; its gradients are those of the reals."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from edgewright.data import Data
from edgewright.errors import ModelError, RecipeError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.ops.levels import LEVELS, narrowest, weight_levels
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target
from edgewright.train.integers import LEARNED, Integers
from edgewright.train.module import from_module, to_module
from tests.zoo import ZOO, clean_zoo, zoo_inputs

PASSES = load_passes()
HOST = load_target("host")


def quantized(name: str, **options: int) -> Graph:
    graph = clean_zoo(ZOO[name]())
    data = Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 60)))
    return PASSES["quantize_static"].function(graph, Context(data=data), **options)


def device_outputs(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    integer = lower_integer(graph, HOST)
    return dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, inputs)))


def module_outputs(module: torch.nn.Module, inputs: list[np.ndarray]) -> list[np.ndarray]:
    outputs = module(*(torch.from_numpy(np.asarray(array, np.float32)) for array in inputs))
    return [output.detach().numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def assert_same(module: torch.nn.Module, graph: Graph, inputs: list[np.ndarray]) -> None:
    """Real outputs are the integers times their scale, so that equal reals are equal integers; with and without gradients."""
    expected = device_outputs(graph, inputs)
    for ours, theirs in zip(module_outputs(module, inputs), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with torch.no_grad():
        for ours, theirs in zip(module_outputs(module, inputs), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("name", ZOO)
def test_training_computes_the_integers_of_the_device(name, learned):
    check_training(quantized(name), learned)


@pytest.mark.parametrize("weights", [8, 16])
@pytest.mark.parametrize("name", ["residual_batch_norm", "inverted_bottleneck", "transpose_convolution", "attention", "long_memory"])
def test_training_computes_the_int16_of_the_device(name, weights):
    check_training(quantized(name, weight_bits=weights, activation_bits=16), "all")


def check_training(graph: Graph, learned: str) -> None:
    """The device's integers before training, and after three steps."""
    inputs = [np.asarray(array, np.float32) for array in zoo_inputs(graph, 8)]
    module = to_module(graph, learned_steps=learned).train()
    assert from_module(module) is graph
    assert_same(module, graph, inputs)
    parameters = list(module.parameters())
    if not parameters:
        return
    optimizer = torch.optim.Adam(parameters, 0.02)
    for _ in range(3):
        optimizer.zero_grad()
        outputs = module(*(torch.from_numpy(array) for array in inputs))
        sum((output - 0.1).square().sum() for output in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
        optimizer.step()
    trained = from_module(module)
    assert trained.digest != graph.digest
    assert_same(module, trained, inputs)
    assert from_module(to_module(trained)) is trained


def network(bits: int = 8) -> Graph:
    """Convolution, depthwise, dense; weights of ``bits``."""
    graph = clean_zoo(ZOO["separable_keyword_spotter"]())
    data = Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 60)))
    return PASSES["quantize_static"].function(graph, Context(data=data), weight_bits=bits)


def step(module: torch.nn.Module, inputs: list[np.ndarray], rate: float = 0.05, steps: int = 4) -> None:
    optimizer = torch.optim.Adam(module.parameters(), rate)
    labels = torch.arange(len(inputs[0])) % 2
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module.logits(*(torch.from_numpy(array) for array in inputs)), labels).backward()
        optimizer.step()


def samples(graph: Graph, count: int = 8) -> list[np.ndarray]:
    return [np.asarray(array, np.float32) for array in zoo_inputs(graph, count)]


def test_gradients_are_those_of_the_float_network():
    """At int8, straight-through gradients of weights are near the float network's."""
    floats = clean_zoo(ZOO["separable_keyword_spotter"]())
    graph = network()
    inputs = [torch.from_numpy(array) for array in samples(graph, 32)]
    found = []
    for module in (to_module(floats), to_module(graph)):
        module.train().logits(*inputs).square().mean().backward()
        found.append({name: parameter.grad for name, parameter in module.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, expected in found[0].items():
        angle = torch.nn.functional.cosine_similarity(found[1][name].flatten(), expected.flatten(), dim=0)
        assert float(angle) > 0.98 and float(found[1][name].norm() / expected.norm()) == pytest.approx(1, abs=0.1), name


def test_the_gradient_of_a_layer_does_not_depend_on_how_it_is_computed(monkeypatch):
    graph = network()
    inputs = samples(graph)
    modules = [to_module(graph, learned_steps="all").train() for _ in range(2)]
    modules[0].logits(torch.from_numpy(inputs[0])).square().sum().backward()
    monkeypatch.setattr(sys.modules[Integers.__module__], "is_product", lambda op: False)
    modules[1].logits(torch.from_numpy(inputs[0])).square().sum().backward()
    for (name, ours), theirs in zip(modules[0].named_parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-3, atol=2e-3 * float(theirs.grad.abs().max()), msg=name)


def test_learned_step_sizes_move_and_what_must_not_move_stays():
    graph = quantized("inception_branches")
    module = to_module(graph, learned_steps="all").train()
    step(module, samples(graph))
    trained = from_module(module)
    moved = {name for name, value in trained.values.items() if value.quant != graph.value(name).quant}
    assert moved & {node.outputs[0] for node in graph.nodes} and moved & set(graph.constants)
    assert not moved & {*graph.inputs} and all(trained.value(name).quant == graph.value(name).quant for name in graph.outputs)
    weights = from_module((module := to_module(graph, learned_steps="weights").train(), step(module, samples(graph)))[0])
    moved = {name for name, value in weights.values.items() if value.quant != graph.value(name).quant}
    assert moved and moved <= set(graph.constants)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("learned", ["none", "all"])
def test_pruned_and_clustered_weights_keep_their_structure(bits, learned):
    graph = network(bits)
    pruned, clustered = [node.inputs[1] for node in graph.nodes if node.op.weight_inputs][:2]
    rng = np.random.default_rng(0)
    mask = rng.random(graph.array(pruned).shape) < 0.5
    rows = np.sort(rng.normal(0, 0.3, 5)).astype(np.float32)
    constants = {pruned: Constant(np.where(mask, graph.array(pruned), 0).astype(np.float32), Structure(mask=mask)),
                 clustered: Constant(rows[rng.integers(0, 5, graph.array(clustered).shape)], Structure(codebook=rows))}
    graph = rebuild(graph, constants=constants)
    module = to_module(graph, learned_steps=learned).train()
    step(module, samples(graph))
    trained = from_module(module)
    assert_same(module, trained, samples(graph))
    integer = lower_integer(trained, HOST)
    assert not integer.array(pruned)[~mask].any() and integer.array(pruned)[mask].any()
    codes = constants[clustered].array.reshape(-1)
    book = trained.constants[clustered].structure.codebook
    assert book.shape == rows.shape and not np.array_equal(book, rows)
    np.testing.assert_array_equal(trained.array(clustered).reshape(-1), book[[int(np.abs(rows - code).argmin()) for code in codes]])


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("learned", LEARNED)
def test_weights_of_few_levels_keep_their_levels(levels, learned):
    graph = network()
    name = next(node.inputs[1] for node in graph.nodes if node.op.weight_inputs)
    old = graph.array(name)
    scale = np.abs(old).reshape(len(old), -1).mean(1).astype(np.float32)
    quant = Quant.per_axis(scale, 0, narrowest(levels))
    chosen = np.asarray(levels)[np.random.default_rng(0).integers(0, len(levels), old.shape)]
    book = (scale[:, None] * np.float32(levels)).astype(np.float32)
    bias = next(node.inputs[2] for node in graph.nodes if node.inputs[1:2] == (name,))
    data = next(node.inputs[0] for node in graph.nodes if node.inputs[1:2] == (name,))
    bias_quant = Quant.per_axis(scale * np.float32(graph.value(data).quant.scale[0]), 0, DType.INT32)
    graph = rebuild(graph, constants={name: Constant(quant.to_real(chosen), Structure(codebook=book, bits=quant.dtype.bits))}, values=[
        dataclasses.replace(graph.value(name), quant=quant), dataclasses.replace(graph.value(bias), quant=bias_quant)])
    assert weight_levels(graph, name) == levels
    module = to_module(graph, learned_steps=learned).train()
    assert from_module(module) is graph
    step(module, samples(graph), 0.04 if 0 in levels else 0.3)
    trained = from_module(module)
    assert_same(module, trained, samples(graph))
    after = lower_integer(trained, HOST).array(name)
    assert set(np.unique(after)) == set(levels) and (after != chosen).any()
    assert weight_levels(trained, name) == levels and trained.constants[name].structure.codebook.shape == book.shape
    assert set(np.unique(np.abs(trained.array(name)[0]))) <= {*np.abs(trained.constants[name].structure.codebook[0])}


def test_what_is_not_finite_comes_out_and_is_named():
    graph = network()
    module = to_module(graph)
    name = next(node.inputs[1] for node in graph.nodes if node.op.weight_inputs)
    bad = samples(graph)[0]
    bad[3] = np.nan
    assert module(torch.from_numpy(bad)).isnan().any() and module.first_not_finite(torch.from_numpy(bad)) == graph.inputs[0]
    with torch.no_grad():
        module.raw(name)[0] = float("nan")
    good = torch.from_numpy(samples(graph)[0])
    assert module(good).isnan().all() and module.first_not_finite(good) == name
    with pytest.raises(ModelError, match=f"constant '{name}' holds numbers that are not finite"):
        from_module(module)


def test_a_module_computes_again_what_it_does_not_keep():
    graph = network()
    inputs = torch.from_numpy(samples(graph)[0])
    gradients = []
    for checkpointed in (False, True):
        module = to_module(graph, checkpointed=checkpointed, learned_steps="all").train()
        module.logits(inputs).square().sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, again, rtol=0, atol=0)


def test_refusals():
    graph = network()
    with pytest.raises(RecipeError, match="unknown step sizes 'some' to learn"):
        to_module(graph, learned_steps="some")
    with pytest.raises(UnsupportedError, match="integer level, which has no gradients"):
        to_module(lower_integer(graph, HOST))
    floats = clean_zoo(ZOO["separable_keyword_spotter"]())
    with pytest.raises(ModelError, match="values of 'separable_keyword_spotter' are not quantized"):
        to_module(PASSES["quantize_dynamic"].function(floats, Context()))
