"""The generated C: its interface, its names, states, views, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgewright.emit.c import emit_c
from edgewright.emit.c.library import kernel_files
from edgewright.emit.c.text import c_comment, c_identifier, c_number
from edgewright.errors import TargetError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import make_program
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice
from edgewright.run.host import run_host
from edgewright.targets.target import load_target

HOST = load_target("host")
QUANT = Quant.per_tensor(0.1, -3)


def dense_graph(name: str = "net", node: str = "dense", dtype: DType = DType.INT8) -> Graph:
    """One dense layer of six numbers to four."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder(name, Level.INTEGER)
    x = builder.input("x", (None, 6), dtype, Quant.per_tensor(0.1, 0, dtype))
    weight = rng.integers(-127, 128, (4, 6)).astype(np.int8)
    w = builder.constant("w", weight, quant=Quant.per_axis(np.full(4, 0.01), 0))
    y = builder.node(Dense(), [x, w], name=node, quants=[Quant.per_tensor(0.1, 0, dtype)])
    return builder.finish([y])


def delay_graph(initial: int) -> Graph:
    """A delay line of three samples: the state is what came in before, and its sum with the newest goes out."""
    builder = GraphBuilder("delay", Level.INTEGER)
    x = builder.input("x", (1, 2), DType.INT8, QUANT)
    start = builder.constant("start", np.arange(initial, initial + 6).reshape(1, 6).astype(np.int8), quant=QUANT)
    line = builder.state("line", (1, 6), start, DType.INT8, QUANT)
    longer = builder.node(Concat(1), [line, x], quants=[QUANT])
    kept = builder.node(Slice((0, 2), (1, 6), (1, 1)), [longer], quants=[QUANT])
    oldest = builder.node(Slice((0, 0), (1, 2), (1, 1)), [longer], quants=[QUANT])
    out = builder.node(Add(), [oldest, x], quants=[QUANT])
    builder.write_state("line", kept)
    return builder.finish([out])


def run(graph: Graph, inputs: list[np.ndarray], *, reset_state: bool = True) -> list[np.ndarray]:
    specs = [(graph.value(name).dtype.numpy, graph.value(name).shape[1:]) for name in graph.outputs]
    return run_host(emit_c(make_program(graph, HOST)), inputs, outputs=specs, sanitize=True, reset_state=reset_state).outputs


def source(graph: Graph) -> str:
    files = emit_c(make_program(graph, HOST))
    (name,) = [name for name in files if name.endswith(".c")]
    return files[name].decode()


def test_the_files_and_what_the_header_declares() -> None:
    files = emit_c(make_program(dense_graph("Key-Word Spotting"), HOST))
    assert {name for name in files if "/" not in name} == {"key_word_spotting.c", "key_word_spotting.h"}
    header = files["key_word_spotting.h"].decode()
    assert re.findall(r"#define (KEY\w+) (\d+)", header) == [
        ("KEY_WORD_SPOTTING_ARENA_BYTES", "16"),
        ("KEY_WORD_SPOTTING_INPUTS", "1"),
        ("KEY_WORD_SPOTTING_OUTPUTS", "1"),
        ("KEY_WORD_SPOTTING_INPUT_0_BYTES", "6"),
        ("KEY_WORD_SPOTTING_OUTPUT_0_BYTES", "4"),
    ]
    for declared in (
        "void *key_word_spotting_input(size_t index);",
        "void key_word_spotting_run(void);",
        "void key_word_spotting_reset(void);",
    ):
        assert declared in header
    assert "scale 0.1" in header and "zero point 0" in header


def test_only_the_kernels_in_use_and_what_they_include() -> None:
    files = emit_c(make_program(dense_graph(), load_target("cortex-m3")))
    assert "kernels/dense_s8.h" in files and "kernels/requantize.h" in files and "kernels/conv2d_s8.h" not in files
    text = files["net.c"].decode()
    assert "malloc" not in text and re.findall(r"#include <(.*)>", text) == []


def test_the_first_folder_that_has_a_kernel_gives_it() -> None:
    portable, simd = (kernel_files(["dense_s8"], folders) for folders in (["portable"], ["dsp", "portable"]))
    assert portable["dense_s8.h"] != simd["dense_s8.h"] and portable["clamp.h"] == simd["clamp.h"]
    assert "arm_acle.h" in simd["simd.h"] and "simd.h" not in portable
    with pytest.raises(TargetError, match="no C kernel dense_s8.h in vector.*\n.*portable"):
        kernel_files(["dense_s8"], ["vector"])


def test_every_layer_is_marked_and_told() -> None:
    builder = GraphBuilder("net", Level.INTEGER)
    x = builder.input("x", (None, 2, 3), DType.INT8, QUANT)
    y = builder.node(Reshape((None, 6)), [builder.node(Relu(), [x], name="first", quants=[QUANT])], name="flat", quants=[QUANT])
    text = source(builder.finish([y]))
    assert re.findall(r"EW_MARK\((\d)\);", text) == ["1", "2", "0"]
    assert "1. first: Relu, 0 multiply-accumulates" in text and "the same bytes: nothing to do" in text


def test_hostile_names_stay_within_their_comments(needs_cc: None) -> None:
    graph = dense_graph("*/ int main(void) { /*", 'a*/ system("x"); /* ??/\\\n#error\n')
    text = source(graph)
    assert "system(" not in text.replace("system(_x_)", "") and "#error" not in text
    x = np.ones((1, 6), np.int8)
    np.testing.assert_array_equal(run(graph, [x])[0], evaluate(graph, [x])[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Net", "net"),
        ("3d-net", "network_3d_net"),
        ("ünï", "n"),
        ("", "network"),
        ("string", "network_string"),
        ("ew_x", "network_ew_x"),
        ("a" * 99, "a" * 60),
    ],
)
def test_identifiers(name: str, expected: str) -> None:
    assert c_identifier(name) == expected


def test_numbers_and_comments() -> None:
    assert c_number(-(1 << 31)) == "(-2147483647 - 1)"
    assert c_number(0.1) == "0x1.99999a0000000p-4f"
    assert c_comment("a*/b\n\\") == "a_/b__"


def test_equal_constants_stand_once() -> None:
    builder = GraphBuilder("net", Level.INTEGER)
    x = builder.input("x", (None, 4), DType.INT8, QUANT)
    weight = np.arange(16).reshape(4, 4).astype(np.int8)
    for number in range(2):
        w = builder.constant(f"w{number}", weight, quant=Quant.per_axis(np.full(4, 0.01), 0))
        x = builder.node(Dense(), [x, w], quants=[QUANT])
    text = source(builder.finish([x]))
    assert len(re.findall(r"static const int8_t weights", text)) == 1


@pytest.mark.parametrize("initial", [0, 5])
def test_states_live_from_run_to_run_and_reset(needs_cc: None, initial: int) -> None:
    graph = delay_graph(initial)
    stream = np.random.default_rng(1).integers(-128, 128, (7, 1, 2)).astype(np.int8)
    states: dict = {}
    expected = np.concatenate([evaluate(graph, [sample], states=states)[0] for sample in stream])
    np.testing.assert_array_equal(run(graph, [stream.reshape(7, 2)], reset_state=False)[0], expected)
    fresh = np.concatenate([evaluate(graph, [sample])[0] for sample in stream])
    np.testing.assert_array_equal(run(graph, [stream.reshape(7, 2)])[0], fresh)


def test_a_state_that_starts_at_zero_costs_nothing_at_start() -> None:
    def starts(initial: np.ndarray) -> str:
        builder = GraphBuilder("net", Level.INTEGER)
        x = builder.input("x", (1, 2), DType.INT8, QUANT)
        builder.state("s", (1, 2), builder.constant("start", initial.astype(np.int8), quant=QUANT), DType.INT8, QUANT)
        builder.write_state("s", x)
        return source(builder.finish([builder.node(Add(), ["s", x], quants=[QUANT])]))

    assert "state_is_set" not in starts(np.zeros((1, 2)))
    assert "if (!state_is_set)" in starts(np.full((1, 2), -3))


def test_a_view_of_a_constant_is_copied(needs_cc: None) -> None:
    builder = GraphBuilder("net", Level.INTEGER)
    x = builder.input("x", (1, 6), DType.INT8, QUANT)
    constant = builder.constant("c", np.arange(6).reshape(2, 3).astype(np.int8), quant=QUANT)
    flat = builder.node(Reshape((1, 6)), [constant], quants=[QUANT])
    graph = builder.finish([builder.node(Add(), [flat, x], quants=[QUANT])])
    sample = np.arange(6).reshape(1, 6).astype(np.int8)
    np.testing.assert_array_equal(run(graph, [sample])[0], evaluate(graph, [sample])[0])


def test_what_the_kernels_lack_is_said() -> None:
    with pytest.raises(
        UnsupportedError, match="Dense 'dense' from int32, int8 to int32 has no C kernel\nhint: it takes int8, int8 and gives int8"
    ):
        emit_c(make_program(dense_graph(dtype=DType.INT32), HOST))
    builder = GraphBuilder("net", Level.INTEGER)
    x, w = builder.input("x", (None, 4, 4, 1), DType.INT8, QUANT), builder.input("w", (2, 1, 1, 1), DType.INT8, Quant.per_tensor(0.1))
    graph = builder.finish([builder.node(Conv2D(), [x, w], name="conv", quants=[QUANT])])
    with pytest.raises(UnsupportedError, match="Conv2D 'conv' computes its input 1 at run time\nhint: .*constants only"):
        emit_c(make_program(graph, HOST))
