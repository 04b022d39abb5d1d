"""Where every activation lies in the arena: lifetimes, buffers shared in place, greedy placement, and an exact search for small graphs."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.ir.graph import Graph
from edgewright.lower.allocate import allocate, lower_bound
from edgewright.lower.memory import Buffer, MemoryPlan

ALIGNMENT = 4


def plan_memory(graph: Graph, scratch: Mapping[str, int] | None = None, *, alignment: int = ALIGNMENT) -> MemoryPlan:
    """Place the values of integer ``graph`` (batch 1) at offsets that ``alignment`` divides.

    Inputs and states live from the start, states and outputs until the end. ``scratch``: node name → bytes; that of node ``n`` is the
    buffer ``n/scratch``.
    """
    scratch = {name: size for name, size in (scratch or {}).items() if size > 0}
    owner = share_buffers(graph)
    buffers = _buffers(graph, owner, scratch, alignment)
    offsets, strategy = allocate(buffers)
    end = max((offsets[buffer.name] + buffer.size_bytes for buffer in buffers), default=0)
    return MemoryPlan(buffers, offsets, owner, end, lower_bound(buffers), strategy)


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

    Views always share; an operator that can work in place takes over a dying input's buffer.
    """
    spans = lifetimes(graph)
    owner = {name: name for name in spans}
    pinned = {state.read for state in graph.states}
    for step, node in enumerate(graph.nodes):
        output = node.outputs[0]
        source = node.inputs[0] if node.inputs else ""
        if node.op.view and source in owner:
            owner[output] = owner[source]
            continue
        for index in node.op.in_place(graph.ins(node), graph.outs(node)):
            name = node.inputs[index]
            if name not in owner or owner[name] in pinned or graph.value(name).bytes != graph.value(output).bytes:
                continue
            # Every value in that buffer must be dead after this step, or the write would destroy it.
            if _last_read(graph, owner, owner[name], spans) <= step and node.inputs.count(name) == 1:
                owner[output] = owner[name]
                break
    return owner


def _last_read(graph: Graph, owner: Mapping[str, str], buffer: str, spans: Mapping[str, tuple[int, int]]) -> int:
    end = max(spans[name][1] for name, root in owner.items() if root == buffer)
    visible = any(root == buffer and name in graph.kept for name, root in owner.items())
    return len(graph.nodes) if visible else end


def _buffers(graph: Graph, owner: Mapping[str, str], scratch: Mapping[str, int], alignment: int) -> tuple[Buffer, ...]:
    spans = lifetimes(graph)
    members: dict[str, list[str]] = {}
    for name, root in owner.items():
        members.setdefault(root, []).append(name)
    buffers = []
    for root, names in members.items():
        size = max(graph.value(name).bytes for name in names)
        buffers.append(Buffer(root, _align(size, alignment), min(spans[name][0] for name in names), max(spans[name][1] for name in names)))
    steps = {node.name: step for step, node in enumerate(graph.nodes)}
    for node, size in scratch.items():
        buffers.append(Buffer(scratch_buffer(node), _align(size, alignment), steps[node], steps[node]))
    return tuple(buffers)


def _align(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def peak_step(plan: MemoryPlan) -> tuple[int, list[Buffer]]:
    """The step at which most bytes live, and the buffers that live then, largest first."""
    steps = {buffer.first for buffer in plan.buffers}
    live = {step: [b for b in plan.buffers if b.first <= step <= b.last] for step in steps}
    peak = max(sorted(steps), key=lambda step: sum(b.size_bytes for b in live[step]), default=0)
    return peak, sorted(live.get(peak, []), key=lambda b: -b.size_bytes)
