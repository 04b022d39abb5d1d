"""Every emitter gives the bytes of the integer evaluation, on the whole zoo, wherever its files run.

C is compiled for several animals at once; alone, and for every core, they are compiled in the slow tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewright.emit.c import emit_c
from edgewright.emit.tflite import ABSENT, FLOAT_ONLY, WITHOUT_REFERENCE_KERNEL, WITHOUT_TFLM_KERNEL, emit_tflite
from edgewright.errors import ToolError, UnsupportedError
from edgewright.ir.graph import Graph
from edgewright.lower.program import make_program
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.run.host import run_host
from edgewright.run.litert import run_litert
from edgewright.run.qemu import run_qemu
from edgewright.run.run import Run
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import Target, list_targets, load_target
from tests.contract.animals import EVERY, cleaned, integer_graph, original
from tests.contract.parade import parade
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs

Arrays = list[NDArray[np.generic]]
GROUPS = [list(EVERY)[start::4] for start in range(4)]
NOT_TFLM_S_BYTES_IN_LITERT = {"Dense", "ELU"}
"""LiteRT's kernels of fully connected layers and ELU round otherwise than TFLM's: a step or two after several of them."""
SAMPLES = 5


@cache
def inputs_of(name: str, clean: bool = False) -> Arrays:
    """Real inputs on the grid of the network, then integers over the whole range."""
    graph = integer_graph(name, clean)
    real = integer_inputs(original(name), graph, SAMPLES - 2)
    return [np.concatenate([first, second]) for first, second in zip(real, zoo_inputs(graph, 2, seed=9), strict=True)]


def kinds(graph: Graph) -> set[str]:
    return {node.op.kind for node in graph.nodes}


def specs(graph: Graph) -> list[tuple[np.dtype, tuple[int, ...]]]:
    return [(value.dtype.numpy, value.shape[1:]) for value in (graph.value(name) for name in graph.outputs)]


def as_bytes(arrays: Sequence[NDArray[np.generic]]) -> Arrays:
    """Float inputs as the bytes that the network reads."""
    return [array.view(np.int32) if array.dtype == np.float32 else array for array in arrays]


def check(graph: Graph, arrays: Arrays, run: Run) -> None:
    for name, wanted, got in zip(graph.outputs, evaluate(graph, arrays), run.outputs, strict=True):
        np.testing.assert_array_equal(got, wanted, err_msg=f"output {name}", strict=True)


def on_host(graph: Graph, arrays: Arrays, *, target: str = "host") -> None:
    chosen = load_target(target)
    files = emit_c(make_program(graph, chosen))
    check(graph, arrays, run_host(files, as_bytes(arrays), outputs=specs(graph), sanitize=chosen.linux is None, target=chosen))


def on_device(graph: Graph, arrays: Arrays, target: Target) -> None:
    files = emit_c(make_program(graph, target))
    check(graph, arrays, run_qemu(files, as_bytes(arrays), target, outputs=specs(graph), profile=False))


def together(names: Sequence[str], clean: bool) -> tuple[Graph, Arrays]:
    graph = parade([integer_graph(name, clean) for name in names], "parade")
    return graph, [array for name in names for array in inputs_of(name, clean)]


@pytest.mark.parametrize("clean", [False, True], ids=["plain", "clean"])
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_c_on_this_computer_under_the_sanitizers(group, clean, needs_cc):
    on_host(*together(GROUPS[group], clean))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-a53", "cortex-a76"])
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_c_on_a_cortex_a(group, core, needs_aarch64):
    on_host(*together(GROUPS[group], True), target=core)


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_c_on_a_cortex_m4(group, needs_arm):
    on_device(*together(GROUPS[group], True), load_target("cortex-m4"))


@pytest.mark.slow
@pytest.mark.parametrize("clean", [False, True], ids=["plain", "clean"])
@pytest.mark.parametrize("name", EVERY)
def test_c_of_every_animal_alone(name, clean, needs_cc):
    on_host(integer_graph(name, clean), inputs_of(name, clean))

FLOAT_IN_TFLITE = [name for name in ZOO if not kinds(original(name)) & ABSENT]


def cores(system: str) -> list[str]:
    """Cores rather than boards: those have the same kernels."""
    found = [load_target(name) for name in list_targets()]
    return [
        target.name
        for target in found
        if target.qemu is not None and target.qemu.system == system and target.name.startswith(("cortex-", "rv"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("core", cores("arm"))
@pytest.mark.parametrize("name", EVERY)
def test_c_of_every_animal_on_every_cortex_m(name, core, needs_arm):
    on_device(integer_graph(name, True), inputs_of(name, True), load_target(core))


@pytest.mark.slow
@pytest.mark.parametrize("core", cores("riscv32"))
@pytest.mark.parametrize("name", EVERY)
def test_c_of_every_animal_on_every_risc_v(name, core, needs_riscv):
    on_device(integer_graph(name, True), inputs_of(name, True), load_target(core))


@pytest.mark.parametrize("name", EVERY)
def test_files_are_the_same_for_the_same_graph(name):
    target = load_target("cortex-m4")
    again = quantize_zoo(EVERY[name]())
    assert again.digest == integer_graph(name).digest
    assert emit_c(make_program(again, target)) == emit_c(make_program(integer_graph(name), target))
    if not kinds(again) & (FLOAT_ONLY | ABSENT):
        assert emit_tflite(again) == emit_tflite(integer_graph(name))


@pytest.mark.parametrize("clean", [False, True], ids=["plain", "clean"])
@pytest.mark.parametrize("name", EVERY)
def test_tflite_in_tflm_and_litert(name, clean, needs_tflite_micro):
    graph, arrays = integer_graph(name, clean), inputs_of(name, clean)
    missing = kinds(graph) & (FLOAT_ONLY | ABSENT)
    if missing:
        with pytest.raises(UnsupportedError) as caught:
            emit_tflite(graph)
        assert caught.value.hint and all(kind in caught.value.message for kind in missing)
        return
    files = emit_tflite(graph)
    if kinds(graph) & WITHOUT_TFLM_KERNEL:
        with pytest.raises(ToolError):
            run_tflm(files, arrays)
    else:
        check(graph, arrays, run_tflm(files, arrays))
    run = in_litert(graph, arrays)
    if kinds(graph) & NOT_TFLM_S_BYTES_IN_LITERT:
        for wanted, got in zip(evaluate(graph, arrays), run.outputs, strict=True):
            assert np.abs(got.astype(np.float64) - wanted).max() <= 2 * (1 if wanted.dtype == np.int8 else graph_step(graph))
    else:
        check(graph, arrays, run)


def in_litert(graph: Graph, arrays: Arrays) -> Run:
    return run_litert(emit_tflite(graph), arrays, kernels="optimized" if kinds(graph) & WITHOUT_REFERENCE_KERNEL else "reference")


def graph_step(graph: Graph) -> float:
    """One step of the grid that a float output of ``graph`` came from."""
    maker = graph.producers[graph.outputs[0]]
    return graph.value(maker.inputs[0]).quant.scale[0]


@pytest.mark.parametrize("name", FLOAT_IN_TFLITE)
def test_float_tflite_in_litert(name):
    for graph in (original(name), cleaned(name)):
        arrays = zoo_inputs(graph, SAMPLES)
        for wanted, got in zip(evaluate(graph, arrays), in_litert(graph, arrays).outputs, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("technique", ["quantize_float16", "quantize_dynamic"])
@pytest.mark.parametrize("name", FLOAT_IN_TFLITE)
def test_small_float_tflite_in_litert(name, technique):
    """Float16 weights are exact; int8 weights meet activations that LiteRT quantizes as it goes, which costs a little."""
    graph = load_passes()[technique].function(cleaned(name), Context())
    arrays = zoo_inputs(graph, SAMPLES)
    for wanted, got in zip(evaluate(graph, arrays), in_litert(graph, arrays).outputs, strict=True):
        tolerance = 1e-5 if technique == "quantize_float16" else 0.05
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(wanted).max())))


def test_a_stream_goes_on_from_sample_to_sample(needs_cc, needs_tflite_micro):
    """Without a reset, C, TFLM and the evaluation carry the state of a streaming network from call to call."""
    graph = integer_graph("streaming", True)
    frames = [np.concatenate([array, array[::-1], array]) for array in inputs_of("streaming", True)]
    states: dict[str, torch.Tensor] = {}
    calls = [evaluate(graph, [array[index : index + 1] for array in frames], states=states) for index in range(len(frames[0]))]
    wanted = [np.concatenate(outputs) for outputs in zip(*calls, strict=True)]
    assert len({row.tobytes() for row in wanted[0]}) > 1
    files = emit_c(make_program(graph, load_target("host")))
    for run in (
        run_host(files, frames, outputs=specs(graph), reset_state=False),
        run_tflm(emit_tflite(graph), frames, reset_state=False),
        run_litert(emit_tflite(graph), frames, reset_state=False),
    ):
        for first, second in zip(wanted, run.outputs, strict=True):
            assert np.abs(second.astype(np.int32) - first).max() <= (2 if "LiteRT" in run.where else 0)
