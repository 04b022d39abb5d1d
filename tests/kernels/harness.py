"""Many single layers in one program: what may not share memory lies apart, with poisoned bytes between, under the sanitizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c import emit_c
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.lower.memory import Buffer, MemoryPlan
from edgewright.lower.overlap import all_slides, is_safe, reading_orders
from edgewright.lower.plan_memory import scratch_buffer
from edgewright.lower.program import Program
from edgewright.lower.schedule import single_sample
from edgewright.ops.evaluate import evaluate
from edgewright.run.host import run_host
from edgewright.run.qemu import run_qemu
from edgewright.targets.stored import layer_can_be_frugal, layer_workspace_bytes
from edgewright.targets.target import Target, load_target

HERE = Path(__file__).parent
GAP = 64
ALIGNMENT = 8
SLIDE_ALIGNMENT = 4
FOLDERS = ("portable", "dsp", "size", "thumb1", "thumb2", "rv32")
"""Kernels for some cores that any compiler takes."""
X86 = {"x86 avx2": ("-O2", "-mno-avx512f"), "x86 sse2": ("-O2", "-march=x86-64"), "x86 plain": ("-O2", "-DEW_NO_VECTORS")}
"""The kernels for x86 with fewer instructions than this computer may have: the flags that take them away."""
NEON = {
    "neon": ("cortex-a53", "cortex-a53", "-mcpu=cortex-a53"),
    "neon dotprod": ("cortex-a76", "cortex-a76", "-mcpu=cortex-a76"),
    "neon i8mm": ("cortex-a76", "max", "-march=armv8.2-a+dotprod+i8mm"),
}
"""Targets with Neon: the processor that QEMU emulates, and the flag that tells the compiler."""
POISON = """
#include <sanitizer/asan_interface.h>
#include "{prefix}.h"

static const size_t gaps[][2] = {{{gaps}}};

__attribute__((constructor)) static void poison(void)
{{
    const char *arena = (const char *){prefix}_input(0) - {first};

    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {{
        __asan_poison_memory_region(arena + gaps[i][0], gaps[i][1]);
    }}
}}
"""


@dataclass
class Batch:
    """A graph of layers that have nothing to do with each other, each with inputs and an output of its own."""

    rng: np.random.Generator
    builder: GraphBuilder = field(default_factory=lambda: GraphBuilder("batch", Level.INTEGER))
    outputs: list[str] = field(default_factory=list)

    def quant(self, low: float = 0.01, high: float = 0.2, zero_point: int | None = None) -> Quant:
        """A random scale, and a random zero point, the extreme ones often."""
        choice = int(self.rng.choice([-128, 127, 0, int(self.rng.integers(-128, 128))]))
        return Quant.per_tensor(float(np.float32(self.rng.uniform(low, high))), choice if zero_point is None else zero_point)

    def integers(self, shape: Sequence[int], dtype: DType = DType.INT8) -> NDArray[np.generic]:
        """Random integers, sometimes all of them extreme."""
        if dtype is DType.FLOAT32:
            return (self.rng.normal(size=shape) * 10.0 ** self.rng.integers(-3, 6, shape)).astype(np.float32)
        kind = self.rng.integers(5)
        if kind == 0:
            return self.rng.choice([dtype.minimum, dtype.maximum], shape).astype(dtype.numpy)
        if kind == 1:
            return np.full(shape, self.rng.choice([dtype.minimum, dtype.maximum]), dtype.numpy)
        return self.rng.integers(dtype.minimum, dtype.maximum + 1, shape).astype(dtype.numpy)

    def input(self, shape: Sequence[int], quant: Quant | None = None) -> str:
        return self.builder.input(self.builder.fresh("x"), (None, *shape), DType.INT8, quant or self.quant())

    def add(self, op: Operator, inputs: Sequence[str], quant: Quant | None, dtype: DType = DType.INT8) -> None:
        name = self.builder.node(op, inputs, quants=[quant], dtype=dtype)
        self.outputs.append(name)

    def check(self, target: str = "host", samples: int = 3, **changes: object) -> None:
        """Compile, run and compare with the integer evaluation. A folder of kernels instead of a target: those, in C, on the host; a target
        followed by "size": the kernels that take the least flash. ``changes``: to the target."""
        graph = verify(self.builder.finish(self.outputs))
        inputs = [self.integers((samples, *graph.value(name).shape[1:]), graph.value(name).dtype) for name in graph.inputs]
        if target in X86:
            compare(graph, inputs, load_target("host").model_copy(update=changes), X86[target])
            return
        if target in NEON:
            compare(graph, inputs, neon_target(target).model_copy(update=changes))
            return
        if target in FOLDERS:
            chosen = load_target("host").model_copy(update={"kernels": (target, "portable")})
        else:
            name, _, prefer = target.partition(" ")
            chosen = load_target(name).preferring(prefer or "speed")
        compare(graph, inputs, chosen.model_copy(update=changes))


def neon_target(name: str) -> Target:
    """An entry of NEON as a target."""
    core, processor, flag = NEON[name]
    target = load_target(core)
    assert target.linux is not None
    linux = target.linux.model_copy(update={"qemu_cpu": processor})
    return target.model_copy(update={"linux": linux, "gcc_flags": (flag,)})


def compare(graph: Graph, inputs: Sequence[NDArray[np.generic]], target: Target, flags: Sequence[str] = ("-O2",)) -> None:
    """The outputs of the generated C, on the host under the sanitizers or on an emulated device, are those of the integer evaluation."""
    expected = evaluate(graph, inputs)
    program = spread_program(graph, target)
    files = emit_c(program)
    specs = [(graph.value(name).dtype.numpy, graph.value(name).shape[1:]) for name in graph.outputs]
    # The runners take integers; a network with a float32 edge is given its bytes.
    raw = [array.view(np.int32) if array.dtype == np.float32 else array for array in inputs]
    if target.linux is not None:
        run = run_host(files, raw, outputs=specs, flags=flags, target=target)
    elif target.qemu is None:
        run = run_host(_watched(files, program), raw, outputs=specs, sanitize=True, flags=flags)
    else:
        run = run_qemu(files, raw, target, outputs=specs, profile=False)
    for name, ours, theirs in zip(graph.outputs, run.outputs, expected, strict=True):
        node = graph.producers[name]
        wrong = np.argwhere(ours != theirs)
        where = [(tuple(int(i) for i in at), int(ours[tuple(at)]), int(theirs[tuple(at)])) for at in wrong[:5]]
        assert not len(wrong), f"{node.op} of {[str(value.shape) for value in graph.ins(node)]}: {len(wrong)} differ: {where}"


def spread_program(graph: Graph, target: Target) -> Program:
    """A program in which every workspace is a part of the arena, and nothing shares memory but for every second output that may lie over
    its input: that lies as far over it as it may, or a step less.

    Every second matrix product does without workspace, where there is a kernel for that.
    """
    graph = single_sample(graph)
    sizes = {name: value.bytes for name, value in graph.values.items() if not graph.is_constant(name)}
    scratch: dict[str, str] = {}
    products = [node for node in graph.nodes if layer_can_be_frugal(graph, node, target.kernels, target.sparse_share)]
    frugal = frozenset(node.name for node in products[::2])
    for node in graph.nodes:
        if node.name in frugal:
            continue
        needed = layer_workspace_bytes(graph, node, target.kernels, target.sparse_share)
        if needed:
            scratch[node.name] = scratch_buffer(node.name)
            sizes[scratch[node.name]] = needed
    under = overlapping(graph, target, frugal)
    offsets, end = {}, GAP
    for name in [name for name in sizes if name not in under]:
        offsets[name] = end
        for over in [over for over, (below, _) in under.items() if below == name]:
            offsets[over] = end + under[over][1]
            sizes[name] = max(sizes[name], under[over][1] + sizes.pop(over))
        end += -(-sizes[name] // ALIGNMENT) * ALIGNMENT + GAP
    buffers = tuple(Buffer(name, size, 0, len(graph.nodes)) for name, size in sizes.items())
    plan = MemoryPlan(buffers, offsets, {name: name for name in graph.values if name in offsets}, end, end, "spread")
    return Program(graph, target, plan, scratch, graph, frugal=frugal)


def overlapping(graph: Graph, target: Target, frugal: frozenset[str]) -> dict[str, tuple[str, int]]:
    """Input of the network → (output that lies over it, how far before it that begins): every second layer that can."""
    orders = reading_orders(graph, target, frugal)
    found: dict[str, tuple[str, int]] = {}
    for number, (name, slide) in enumerate(sorted(all_slides(graph, orders, SLIDE_ALIGNMENT).items())):
        node = next(node for node in graph.nodes if node.name == name)
        if number % 2 or slide.over not in graph.inputs or len(graph.consumers[slide.over]) != 1 or node.outputs[0] not in graph.outputs:
            continue
        distance = slide.least + (slide.step if number % 8 == 6 else 0)
        assert is_safe(graph, node, orders[name], distance)
        found[slide.over] = (node.outputs[0], distance)
    return found


def _watched(files: dict[str, bytes], program: Program) -> dict[str, bytes]:
    """The files with poisoned gaps, and with the DSP instructions in C where they are used."""
    watched = {**files, "poison.c": _poison(program)}
    if "dsp" in program.target.kernels:
        watched["kernels/arm_acle.h"] = (HERE / "acle_host" / "arm_acle.h").read_bytes()
        watched = {name: text.replace(b"<arm_acle.h>", b'"arm_acle.h"') for name, text in watched.items()}
    return watched


def _poison(program: Program) -> bytes:
    plan = program.plan
    taken = sorted((plan.offsets[buffer.name], buffer.size_bytes) for buffer in plan.buffers)
    starts = [0, *(offset + size for offset, size in taken)]
    ends = [*(offset for offset, _ in taken), plan.arena_bytes]
    gaps = ", ".join(f"{{{start}, {end - start}}}" for start, end in zip(starts, ends, strict=True))
    return POISON.format(prefix="batch", gaps=gaps, first=plan.offset(program.graph.inputs[0])).encode()
