"""A Program as C99: one header, one source, and the kernels that they use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from edgewright.emit.c.calls import calls_of
from edgewright.emit.c.layer import Layer
from edgewright.emit.c.library import kernel_files
from edgewright.emit.c.loops import Nesting
from edgewright.emit.c.source import Source, arena_name
from edgewright.emit.c.text import c_comment, c_identifier, c_name
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Node, Value
from edgewright.lower.program import Program
from edgewright.targets.stored import layer_workspace_bytes
from edgewright.targets.target import MAIN

MACS_A_READ = 2
"""Multiply-accumulates for which kernels read a weight once, about."""


def emit_c(program: Program) -> dict[str, bytes]:
    """File name → contents: ``<name>.h``, ``<name>.c`` and ``kernels/*.h``. The functions that the header declares begin with ``<name>``.

    UnsupportedError where the kernels lack an operator or an element type.
    """
    prefix = c_identifier(program.graph.name)
    source = Source(program)
    context = _context(program, prefix, source)
    folders = tuple(program.target.kernels)
    files = {f"{prefix}.h": _render("network.h.j2", context), f"{prefix}.c": _render("network.c.j2", context)}
    files |= {f"kernels/{name}": text for name, text in kernel_files(source.kernels, folders).items()}
    return {name: text.encode() for name, text in files.items()}


def _render(template: str, context: dict[str, Any]) -> str:
    text = resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False)
    return environment.from_string(text).render(context)


def _context(program: Program, prefix: str, source: Source) -> dict[str, Any]:
    """Everything that the templates show; ``source`` collects the tables and parameters as the calls are written."""
    graph, plan, nesting = program.executed, program.plan, Nesting(program)
    layers, stack_bytes = [], 0
    for index, node in enumerate(graph.nodes):
        target, frugal = program.target, node.name in program.frugal
        layer = Layer(graph, node, graph.ins(node), graph.outs(node), target.kernels, target.sparse_share, frugal)
        needed = 0 if layer.frugal else layer_workspace_bytes(graph, node, layer.kernels, layer.sparse_share)
        if node.name in program.scratch:
            array, start = source.arena(plan.offsets[program.scratch[node.name]])
            workspace = f"{array}.s8 + {start}"
        else:
            workspace, stack_bytes = "workspace.s8" if needed else "NULL", max(stack_bytes, needed)
        calls = [] if source.is_free(node) else source.view_copies(node) if node.op.view else calls_of(layer)
        reads = node.op.macs(layer.ins, layer.outs) * program.runs(node.name) / MACS_A_READ
        lines = [source.call_line(call, f"_{index + 1}{_letter(number)}", workspace, reads) for number, call in enumerate(calls)]
        shown = {"comment": _heading(layer), "more": _details(source, layer), "calls": lines or [_nothing(node)]}
        layers.append(shown | nesting.around(index, node))
    states = source.states()
    edges = {
        side: [_edge(program.graph.value(name), source) for name in names]
        for side, names in (("input", program.graph.inputs), ("output", graph.outputs))
    }
    return {
        "prefix": prefix,
        "macro": prefix.upper(),
        "title": c_comment(graph.name),
        "target": c_comment(f"{program.target.name}, to be compiled with {program.target.optimization}"),
        "arenas": _arenas(program, prefix.upper()),
        "constant_regions": source.place_tables(),
        "inputs": edges["input"],
        "outputs": edges["output"],
        "edges": edges,
        "streamed": program.streamed,
        "summary": _summary(program, source.weight_bytes),
        "kernels": sorted(source.kernels),
        "macros": sorted(frozenset[str]().union(*source.permitted.values())),
        "tables": source.tables,
        "parameter_blocks": source.parameter_blocks,
        "layers": layers,
        "stack_bytes": -(-stack_bytes // 4) * 4,
        "uses_string": bool(states.resets or states.copies),
        "lazy_reset": states.lazy,
        "resets": [*states.resets, *(["state_is_set = 1;"] if states.lazy else [])] or ["/* this network keeps no state */"],
        "state_copies": states.copies,
    }


def _arenas(program: Program, macro: str) -> list[dict[str, object]]:
    """The arrays that hold values: one in each memory that has some."""
    plan = program.plan
    found = []
    for part in plan.parts or (plan.part(0),):
        main = part.region == MAIN[0]
        about = {"region": "" if main else part.region, "bytes": max(-(-part.size_bytes // 8) * 8, 8), "name": arena_name(part.region)}
        found.append(about | {"macro": f"{macro}_ARENA_BYTES" if main else f"{macro}_ARENA_{part.region.upper()}_BYTES"})
    return found


def _nothing(node: Node) -> str:
    """What stands where a layer needs no call."""
    return "/* the same bytes: nothing to do */" if node.inputs else "/* room for what outlives a strip: nothing to do */"


def _letter(number: int) -> str:
    """What tells the calls of one layer apart: nothing, b, c, …, z, then numbers."""
    return "" if number == 0 else chr(ord("a") + number) if number < 26 else f"_{number}"


def _summary(program: Program, weight_bytes: int) -> list[str]:
    """The table of layers for the header."""
    graph = program.executed
    lines = [f"{len(graph.nodes)} layers, {program.macs():,} multiply-accumulates, {weight_bytes:,} bytes of constants"]
    for index, node in enumerate(graph.nodes):
        macs = node.op.macs(graph.ins(node), graph.outs(node)) * program.runs(node.name)
        lines.append(f"{index + 1:4d}  {c_comment(node.op.kind):<16} {_shape(graph.outs(node)[0]):<20} {macs:>12,}  {c_name(node.name)}")
    return lines


def _heading(layer: Layer) -> str:
    return f"{c_name(layer.node.name)}: {c_comment(layer.node.op.kind)}, {layer.node.op.macs(layer.ins, layer.outs):,} multiply-accumulates"


def _details(source: Source, layer: Layer) -> list[str]:
    """Attributes, and where inputs and outputs lie."""
    attributes = ", ".join(f"{key} {value}" for key, value in layer.node.op.attributes().items())
    lines = [c_comment(attributes)] if attributes else []
    for arrow, values in (("<-", layer.ins), ("->", layer.outs)):
        lines += [f"{arrow} {_shape(value)} {value.dtype.value} {source.where(value.name)}  {c_name(value.name)}" for value in values]
    return lines


def _shape(value: Value) -> str:
    return "x".join(str(1 if size is None else size) for size in value.shape) or "scalar"


def _edge(value: Value, source: Source) -> dict[str, object]:
    if math.prod(1 if size is None else size for size in value.shape) == 0:
        raise UnsupportedError(f"value {value.name!r} is empty", hint="a network needs inputs and outputs with elements")
    scale = "" if value.quant is None else f", scale {_numbers(value.quant.scale)}, zero point {_numbers(value.quant.zero_point)}"
    return {
        "bytes": value.bytes,
        "place": source.edge(value.name),
        "comment": f"{c_name(value.name)}: {value.dtype.value} {_shape(value)}{scale}",
    }


def _numbers(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:.9g}" if len(numbers) == 1 else f"{len(numbers)} of them"
