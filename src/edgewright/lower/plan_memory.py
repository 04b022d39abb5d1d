"""Where every activation lies in the arena: lifetimes, buffers shared in place, greedy placement, and an exact search for small graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from edgewright.ir.graph import Graph, Node
from edgewright.lower.allocate import allocate, end_of, saved_bytes
from edgewright.lower.memory import Buffer, MemoryPlan, Slide

ALIGNMENT = 4


def plan_memory(
    graph: Graph, scratch: Mapping[str, int] | None = None, slides: Mapping[str, Slide] | None = None, *, alignment: int = ALIGNMENT
) -> MemoryPlan:
    """Place the values of integer ``graph`` (batch 1) at offsets that ``alignment`` divides.

    Inputs and states live from the start, states and outputs until the end. ``scratch``: node name → bytes; that of node ``n`` is the
    buffer ``n/scratch``. ``slides``: node name → how far its output may lie over an input.
    """
    scratch = {name: size for name, size in (scratch or {}).items() if size > 0}
    owner = share_buffers(graph)
    buffers = with_slides(graph, owner, _buffers(graph, owner, scratch, alignment), slides or {})
    found = allocate(buffers)
    return MemoryPlan(buffers, found.offsets, owner, end_of(buffers, found.offsets), found.bound_bytes, found.strategy)


def scratch_buffer(node: str) -> str:
    """Name of the buffer that holds the scratch bytes of ``node``."""
    return f"{node}/scratch"


def lifetimes(graph: Graph) -> dict[str, tuple[int, int]]:
    """Value name → (first, last) step at which its bytes must stand; steps are node indices, both ends included."""
    end = max(len(graph.nodes) - 1, 0)
    spans: dict[str, list[int]] = {}
    for name in (*graph.inputs, *(state.read for state in graph.states)):
        spans[name] = [0, 0]
    for step, node in enumerate(graph.nodes):
        for name in node.outputs:
            spans[name] = [step, step]
        for name in node.inputs:
            if name in spans:
                spans[name][1] = step
    for name in (*graph.kept, *(state.read for state in graph.states)):
        if name in spans:
            spans[name][1] = end
    return {name: (first, last) for name, (first, last) in spans.items()}


def share_buffers(graph: Graph) -> dict[str, str]:
    """Value name → buffer name (the first value in it).

    Views always share. What is written to a state is computed in its place where nobody needs the old content any more. Otherwise an
    operator that can work in place takes over a dying input's buffer.
    """
    owner = {name: name for name in lifetimes(graph)}
    steps = {node.name: step for step, node in enumerate(graph.nodes)}
    states = {state.read for state in graph.states}
    homes = {state.write: state.read for state in reversed(graph.states)}
    for node in graph.nodes:
        output = node.outputs[0]
        if node.op.view and node.inputs[0] in owner:
            owner[output] = owner[node.inputs[0]]
            continue
        candidates = [owner[name] for name in _in_place(graph, node) if name in owner and owner[name] not in states]
        if output in homes and graph.value(output).bytes == graph.value(homes[output]).bytes:
            candidates.insert(0, homes[output])
        for buffer in candidates:
            if _may_take(graph, owner, steps, node, buffer):
                owner[output] = buffer
                break
    return owner


def _in_place(graph: Graph, node: Node) -> list[str]:
    """Inputs whose bytes output 0 may overwrite one by one."""
    indices = node.op.in_place(graph.ins(node), graph.outs(node))
    size = graph.value(node.outputs[0]).bytes
    return [node.inputs[i] for i in indices if node.inputs.count(node.inputs[i]) == 1 and graph.value(node.inputs[i]).bytes == size]


def _may_take(graph: Graph, owner: Mapping[str, str], steps: Mapping[str, int], node: Node, buffer: str) -> bool:
    """Whether all that ``buffer`` holds is dead when ``node`` writes: read before, or by ``node`` itself as it can work in place."""
    held = [name for name, root in owner.items() if root == buffer]
    if any(name in graph.kept for name in held):
        return False
    last = max((steps[reader.name] for name in held for reader in graph.consumers.get(name, ())), default=-1)
    now = steps[node.name]
    return last < now or (last == now and all(name in _in_place(graph, node) for name in node.inputs if owner.get(name) == buffer))


def _buffers(graph: Graph, owner: Mapping[str, str], scratch: Mapping[str, int], alignment: int) -> tuple[Buffer, ...]:
    spans = lifetimes(graph)
    members: dict[str, list[str]] = {}
    for name, root in owner.items():
        members.setdefault(root, []).append(name)
    buffers = []
    for root, names in members.items():
        size = max(graph.value(name).bytes for name in names)
        buffers.append(Buffer(root, align(size, alignment), min(spans[name][0] for name in names), max(spans[name][1] for name in names)))
    steps = {node.name: step for step, node in enumerate(graph.nodes)}
    for node, size in scratch.items():
        buffers.append(Buffer(scratch_buffer(node), align(size, alignment), steps[node], steps[node]))
    return tuple(buffers)


def with_slides(graph: Graph, owner: Mapping[str, str], buffers: Sequence[Buffer], slides: Mapping[str, Slide]) -> tuple[Buffer, ...]:
    """``buffers``, those that a node of ``slides`` begins with that slide, where the input dies with the same node."""
    at = {buffer.name: buffer for buffer in buffers}
    kept = {owner[name] for name in (*graph.kept, *(state.read for state in graph.states)) if name in owner}
    for step, node in enumerate(graph.nodes):
        slide, output = slides.get(node.name), node.outputs[0]
        if slide is None or slide.over not in owner or node.inputs.count(slide.over) != 1 or owner[output] != output:
            continue
        over = at[owner[slide.over]]
        if over.name not in kept and over.last == step and at[output].first == step:
            at[output] = dataclasses.replace(at[output], slide=dataclasses.replace(slide, over=over.name))
    return tuple(at[buffer.name] for buffer in buffers)


def align(size: int, alignment: int) -> int:
    """``size`` rounded up to a multiple of ``alignment``."""
    return -(-size // alignment) * alignment


def peak_step(plan: MemoryPlan) -> tuple[int, list[Buffer]]:
    """The step at which most bytes live, and the buffers that live then, largest first."""
    steps = {buffer.first for buffer in plan.buffers}
    live = {step: [b for b in plan.buffers if b.first <= step <= b.last] for step in steps}
    saved = saved_bytes(plan.buffers)
    peak = max(sorted(steps), key=lambda step: sum(b.size_bytes for b in live[step]) - saved.get(step, 0), default=0)
    return peak, sorted(live.get(peak, []), key=lambda b: -b.size_bytes)
