"""Every pass keeps the promises of all passes, on the whole zoo, at every level that it takes. A new pass is tested by existing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewright.data import Data
from edgewright.errors import UnsupportedError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level
from edgewright.ir.show import show_graph
from edgewright.ir.verify import verify
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context, Pass
from edgewright.targets.target import load_target
from tests.contract.animals import EVERY, cleaned, integer_graph, original
from tests.zoo import ZOO, clean_zoo, zoo_inputs

PASSES = load_passes()
LEAST_SIGNAL_TO_NOISE_DB = {
    "quantize_static": 20.0,
    "quantize_mixed": 20.0,
    "quantize_dynamic": 25.0,
    "quantize_float16": 55.0,
    "round_weights": 20.0,
    "learn_rounding": 15.0,
    "reconstruct_blocks": 15.0,
    "correct_biases": 20.0,
    "smooth_activations": 40.0,
    "fine_tune": 5.0,
    "distill": 10.0,
    "train_quantized": 5.0,
    "widen_activations": 20.0,
    "prune_channels": 3.0,
    "slim_channels": 5.0,
    "remove_blocks": -1.0,
    "factorize_layers": -1.0,
    "separate_convolutions": -1.0,
    "ghost_convolutions": -1.0,
    "swap_activations": 1.0,
    "pool_dense_head": -1.0,
    "prune_weights": 3.0,
    "cluster_weights": 10.0,
}
"""What every lossy pass, with its default options, may lose on any output of any animal: a new one has to declare it here."""
OPTIONS: dict[str, dict[str, object]] = {
    "slim_channels": {"epochs": 2, "strength": 30.0},
    "learn_rounding": {"iterations": 20}, "reconstruct_blocks": {"iterations": 20},
    "fine_tune": {"epochs": 1}, "distill": {"epochs": 1}, "train_quantized": {"epochs": 1},
}
"""Where a pass has other than its default options here: training is kept short."""
MOST_ROUNDS = 3
"""Applied to its own result again and again, a pass must have nothing left to do after so many rounds."""


def graph_of(name: str, level: Level) -> Graph:
    if level is Level.QUANTIZED:
        return apply(PASSES["quantize_static"], cleaned(name))[0]
    return original(name) if level is Level.FLOAT else integer_graph(name)


def cases() -> list[tuple[str, str, Level]]:
    found = []
    for technique in PASSES.values():
        for level in (Level.FLOAT, Level.INTEGER):
            animals = EVERY if level is Level.INTEGER else ZOO
            found += [(technique.name, name, level) for name in animals if technique.takes(level)]
        if technique.level == Level.QUANTIZED:
            found += [(technique.name, name, Level.QUANTIZED) for name in ZOO]
    return found


def context(graph: Graph) -> Context:
    if graph.level is Level.INTEGER:
        return Context(target=load_target("cortex-m3"))
    inputs = tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 50))
    classes = graph.value(graph.outputs[0]).shape[1:]
    labels = evaluate(graph, inputs)[0].argmax(-1) if len(classes) == 1 and not graph.states else np.arange(len(inputs[0])) % 3
    return Context(data=Data(inputs, labels.astype(np.int64)), target=load_target("cortex-m3"), teacher=other_weights(graph))


def other_weights(graph: Graph) -> Graph:
    """A network near ``graph``, for a student to learn from."""
    rng = np.random.default_rng(0)
    names = [node.inputs[index] for node in graph.nodes for index in node.op.weight_inputs if graph.is_constant(node.inputs[index])]
    arrays = {name: graph.array(name) for name in names if graph.array(name).dtype == np.float32}
    return rebuild(graph, constants={name: Constant(array * rng.uniform(0.9, 1.1, array.shape).astype(np.float32))
                                     for name, array in arrays.items()})


def apply(technique: Pass, graph: Graph) -> tuple[Graph, Context]:
    ctx = context(graph)
    return technique.function(graph, ctx, **OPTIONS.get(technique.name, {})), ctx


def run(graph: Graph, calls: list[list[NDArray[np.generic]]]) -> list[NDArray[np.generic]]:
    """The outputs of several calls; states go on from call to call."""
    states: dict[str, torch.Tensor] = {}
    return [output for inputs in calls for output in evaluate(graph, inputs, states=states if graph.states else None)]


def samples(graph: Graph) -> list[list[NDArray[np.generic]]]:
    """Inputs of three calls; integers over the whole range, the extremes among them."""
    calls = [zoo_inputs(graph, 4, seed) for seed in range(3)]
    for array, name in zip(calls[0], graph.inputs, strict=True):
        value = graph.value(name)
        if value.dtype.is_integer and name not in graph.indices:
            array[0], array[1] = value.dtype.minimum, value.dtype.maximum
    return calls


@pytest.mark.parametrize(("technique", "name", "level"), cases())
def test_a_pass_keeps_its_promises(technique, name, level):
    graph, made = graph_of(name, level), PASSES[technique]
    digest = graph.digest
    try:
        result, ctx = apply(made, graph)
    except UnsupportedError as error:
        assert error.hint
        graph = cleaned(name)
        digest = graph.digest
        result, ctx = apply(made, graph)
    assert graph.digest == digest, "the argument was changed"
    verify(result)
    assert apply(made, graph)[0].digest == result.digest, "the same seed gave another graph"
    assert {line.technique for line in ctx.lines} <= {technique}
    if result is graph:
        assert not any(line.action == "did" for line in ctx.lines), "something was reported, nothing was done"
    else:
        assert result.digest != digest, f"nothing changed, yet it is another object\n{show_graph(graph)}"
        assert any(line.action == "did" for line in ctx.lines), "something was done, nothing was reported"
    if made.exact:
        check_exact(graph, result)
        check_settles(made, result)
    else:
        check_loss(graph, result, LEAST_SIGNAL_TO_NOISE_DB[technique])


def check_exact(graph: Graph, result: Graph) -> None:
    assert (result.inputs, result.outputs, result.level) == (graph.inputs, graph.outputs, graph.level)
    for name in (*graph.inputs, *graph.outputs):
        assert graph.value(name) == result.value(name)
    calls = samples(graph)
    for before, after in zip(run(graph, calls), run(result, calls), strict=True):
        if graph.level is Level.INTEGER:
            np.testing.assert_array_equal(after, before)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(before).max())))


def check_settles(technique: Pass, result: Graph) -> None:
    for _ in range(MOST_ROUNDS):
        before = result
        result, _ = apply(technique, before)
        if result is before:
            return
    pytest.fail(f"{technique.name} still finds something to do in its own result")


def check_loss(graph: Graph, result: Graph, least_db: float) -> None:
    calls = [zoo_inputs(graph, 4, seed=0)]
    for before, after in zip(run(graph, calls), run(result, calls), strict=True):
        noise = float(np.square(after.astype(np.float64) - before).mean())
        signal = float(np.square(before.astype(np.float64)).mean())
        assert 10 * np.log10(signal / max(noise, 1e-300)) >= least_db


@pytest.mark.parametrize("technique", PASSES)
def test_a_pass_has_an_animal_to_work_on(technique):
    """A technique enters with a graph on which it has something to do."""
    made = PASSES[technique]
    for name in ZOO:
        graph = graph_of(name, Level.FLOAT)
        for before in (graph, apply(PASSES["quantize_dynamic"], graph)[0], graph_of(name, Level.QUANTIZED)):
            try:
                if made.takes(before.level) and apply(made, before)[0] is not before:
                    return
            except UnsupportedError:
                continue
    pytest.fail(f"{technique} finds nothing to do in the whole zoo: add an animal for it")


def test_lossy_passes_declare_what_they_lose():
    assert {technique.name for technique in PASSES.values() if not technique.exact} == set(LEAST_SIGNAL_TO_NOISE_DB)


@pytest.mark.parametrize("name", ZOO)
def test_all_exact_passes_together_change_nothing(name):
    graph = graph_of(name, Level.FLOAT)
    check_exact(graph, cleaned(name))
    assert clean_zoo(cleaned(name)) is cleaned(name)
