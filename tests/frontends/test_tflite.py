"""load_tflite on networks that nobody here made: the graph gives what TensorFlow Lite Micro and LiteRT give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.data import WAKE_WORDS as WAKE_WORDS_WHEEL
from benchmarks.data import wake_word_models
from benchmarks.fetch import cache_folder
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ModelError
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level
from edgewright.ir.show import show_graph
from edgewright.ops.evaluate import evaluate
from edgewright.run.litert import run_litert
from edgewright.run.tflm import run_tflm
from tests.conftest import IN_CI, need

INT8 = ("mlperf_tiny/kws_int8", "mlperf_tiny/ic_int8", "tflm/micro_speech_int8")
SAMPLES = 200


def samples(graph: Graph, count: int, models: Path) -> NDArray[np.generic]:
    """``count`` inputs over the whole range, smooth ones among them; the keyword spotter's reference input comes first."""
    rng = np.random.default_rng(7)
    value = graph.value(graph.inputs[0])
    noise = rng.integers(-128, 128, (count, *value.shape[1:]))
    level = rng.integers(-128, 128, (count, *[1] * (value.rank - 1)))
    mixed = np.where(np.arange(count).reshape(level.shape) % 2, noise, np.clip(level + noise // 8, -128, 127)).astype(np.int8)
    if graph.name.startswith("kws"):
        mixed[0] = np.load(models / "mlperf_tiny/kws_input.npy", allow_pickle=False).reshape(mixed.shape[1:])
    return mixed


@pytest.mark.parametrize("name", INT8)
def test_int8_networks_keep_the_bytes_of_tflite_micro(name: str, shared_models: Path, needs_tflite_micro: None) -> None:
    data = (shared_models / f"{name}.tflite").read_bytes()
    graph = load_tflite(shared_models / f"{name}.tflite")
    assert graph.level is Level.INTEGER
    assert all(graph.value(key).shape[0] is None for key in (*graph.inputs, *graph.outputs))
    inputs = [samples(graph, SAMPLES, shared_models)]
    golden = run_tflm({"original.tflite": data}, inputs).outputs
    np.testing.assert_array_equal(evaluate(graph, inputs)[0], golden[0])
    np.testing.assert_array_equal(run_tflm(emit_tflite(graph), inputs).outputs[0], golden[0])
    assert len(np.unique(golden[0])) > 10


@pytest.mark.parametrize("name", [*INT8, "mlperf_tiny/kws_float", "mlperf_tiny/ic_float"])
def test_what_is_written_reads_back_as_the_same_graph(name: str, shared_models: Path) -> None:
    graph = load_tflite(shared_models / f"{name}.tflite")
    (data,) = emit_tflite(graph).values()
    again = rebuild(load_tflite(data), name=graph.name)
    assert show_graph(again) == show_graph(graph)
    assert again.digest == graph.digest
    assert list(emit_tflite(again).values()) == [data]


def test_float_network_agrees_with_litert(shared_models: Path) -> None:
    path = shared_models / "mlperf_tiny/ic_float.tflite"
    graph = load_tflite(path)
    assert graph.level is Level.FLOAT
    inputs = [np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3)).astype(np.float32)]
    for kernels in ("reference", "xnnpack"):
        golden = run_litert({"a.tflite": path.read_bytes()}, inputs, kernels=kernels).outputs[0]
        np.testing.assert_allclose(evaluate(graph, inputs)[0], golden, atol=1e-4)


def test_dynamic_range_weights_keep_their_grid(shared_models: Path) -> None:
    """kws_float holds int8 weights: the graph is the float network of their reals, as LiteRT has it where they are written as floats."""
    path = shared_models / "mlperf_tiny/kws_float.tflite"
    graph = load_tflite(path)
    assert graph.level is Level.QUANTIZED
    quantized = [name for name, value in graph.values.items() if value.quant is not None]
    assert len(quantized) == 5 and all(graph.is_constant(name) for name in quantized)
    inputs = [np.random.default_rng(0).normal(0, 1, (100, 49, 10, 1)).astype(np.float32)]
    own = evaluate(graph, inputs)[0]
    (plain,) = (emit_tflite(without_grids(graph)),)
    for kernels in ("reference", "xnnpack"):
        np.testing.assert_allclose(own, run_litert(plain, inputs, kernels=kernels).outputs[0], atol=1e-4)
    hybrid = run_litert({"a.tflite": path.read_bytes()}, inputs, kernels="xnnpack").outputs[0]
    assert np.mean(own.argmax(1) == hybrid.argmax(1)) >= 0.95


def without_grids(graph: Graph) -> Graph:
    values = [type(value)(value.name, value.shape, value.dtype) for value in graph.values.values()]
    return rebuild(graph, values=values, level=Level.FLOAT)


WAKE_WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")


@pytest.fixture(scope="module")
def wake_words() -> dict[str, bytes]:
    """From the cache; CI fetches them, other machines are not made to wait for a registry."""
    cached = (cache_folder() / "downloads" / WAKE_WORDS_WHEEL.file).is_file()
    need(cached or IN_CI, "the networks of pymicro-wakeword", "python -c 'from benchmarks.data import wake_word_models as f; f()'")
    return wake_word_models()


def logits_too(data: bytes) -> bytes:
    """The same file with the input of the last LOGISTIC as its only output: the sigmoid of noise is always 0."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    main = model.subgraphs[0]
    main.outputs = np.asarray(main.operators[-2].inputs[:1], np.int32)
    main.operators = main.operators[:-2]
    model.signatureDefs = []
    builder = Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_streaming_networks_follow_tflite_micro_over_a_sequence(name: str, wake_words: dict[str, bytes], needs_tflite_micro: None) -> None:
    data = wake_words[name]
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.integers(-40, 41, (40, 3, 40)), axis=0) % 256 - 128
    inputs = [walk.astype(np.int8)]
    for original in (data, logits_too(data)):
        graph = load_tflite(original)
        assert graph.level is Level.INTEGER and len(graph.states) == 6
        golden = run_tflm({"a.tflite": original}, inputs, reset_state=False).outputs[0]
        if golden.dtype == np.uint8:
            golden = (golden.astype(np.int16) - 128).astype(np.int8)
        states: dict[str, Tensor] = {}
        own = np.concatenate([evaluate(graph, [inputs[0][step : step + 1]], states=states)[0] for step in range(len(walk))])
        np.testing.assert_array_equal(own, golden)
        written = emit_tflite(graph)
        np.testing.assert_array_equal(run_tflm(written, inputs, reset_state=False).outputs[0], golden)
        np.testing.assert_array_equal(run_litert(written, inputs, reset_state=False).outputs[0], golden)
        assert rebuild(load_tflite(*written.values()), name=graph.name).digest == graph.digest
    assert len(np.unique(golden)) > 5


def test_states_start_anew_for_every_sample_of_a_batch(wake_words: dict[str, bytes], needs_tflite_micro: None) -> None:
    data = logits_too(wake_words["okay_nabu"])
    inputs = [np.random.default_rng(0).integers(-128, 128, (5, 3, 40)).astype(np.int8)]
    np.testing.assert_array_equal(evaluate(load_tflite(data), inputs)[0], run_tflm({"a.tflite": data}, inputs).outputs[0])


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read .*nothing.tflite: No such file") as found:
        load_tflite(tmp_path / "nothing.tflite")
    assert found.value.hint
    with pytest.raises(ModelError, match="Is a directory"):
        load_tflite(tmp_path)


def test_a_path_as_text_names_the_graph(shared_models: Path) -> None:
    assert load_tflite(str(shared_models / "mlperf_tiny/ic_int8.tflite")).name == "ic_int8"
