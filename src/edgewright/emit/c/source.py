"""The parts of the generated source, collected while the calls are written: constant tables, parameters of kernels, places, state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewright.emit.c.layer import Argument, Call, Counter, Outside, Parameter, Place, Table
from edgewright.emit.c.text import C_TYPES, LINE, c_array, c_initializer
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Node, State
from edgewright.lower.program import Program
from edgewright.targets.target import MAIN

MEMBERS = {DType.INT8: "s8", DType.INT16: "s16", DType.INT32: "s32", DType.FLOAT32: "f32"}


@dataclass(frozen=True)
class StateText:
    """``resets``: lines that set the initial state. ``copies``: lines at the end of a run. ``lazy``: the first run has to reset."""

    resets: list[str]
    copies: list[str]
    lazy: bool


@dataclass
class Source:
    """Collects the tables and parameters of one program; equal tables are written once."""

    program: Program
    tables: list[dict[str, object]] = field(default_factory=list)
    parameter_blocks: list[dict[str, object]] = field(default_factory=list)
    kernels: set[str] = field(default_factory=set)
    permitted: dict[str, frozenset[str]] = field(default_factory=dict)
    weight_bytes: int = 0
    reads: dict[str, float] = field(default_factory=dict)
    """Bytes of each table that one inference reads, about."""
    _names: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def place(self, name: str, offset_bytes: int = 0) -> str:
        """A C expression that points to ``offset_bytes`` within value ``name``."""
        graph = self.program.executed
        value = graph.value(name)
        size = value.dtype.bytes_of(1)
        if value.dtype not in MEMBERS:
            raise UnsupportedError(f"value {name!r} is {value.dtype.value}, which the C emitter does not hold", hint="use int8 activations")
        if graph.is_constant(name):
            table = self.table(Table("constant", graph.array(name)))
            return f"{table} + {offset_bytes // size}" if offset_bytes else table
        array, start = self.arena(self.program.plan.offset(name))
        return f"{array}.{MEMBERS[value.dtype]} + {(start + offset_bytes) // size}"

    def arena(self, offset: int) -> tuple[str, int]:
        """The array of the arena's part that holds ``offset``, and where in it that is."""
        part = self.program.plan.part(offset)
        return arena_name(part.region), offset - part.start

    def edge(self, name: str) -> str:
        """A C expression that points to input or output ``name``; NULL for what lies outside of the arena."""
        return "NULL" if self.program.streamed and name in self.program.graph.inputs else self.place(name)

    def where(self, name: str) -> str:
        """Where value ``name`` lies, in words."""
        if self.program.executed.is_constant(name):
            return "in flash"
        part = self.program.plan.part(offset := self.program.plan.offset(name))
        return f"at {offset - part.start}" + ("" if part.region == MAIN[0] else f" of {part.region}")

    def table(self, table: Table, suffix: str = "", weight_reads: float = 0.0) -> str:
        """The name under which ``table`` stands in the source. ``weight_reads``: bytes that are read of it, if it holds weights."""
        array = np.ascontiguousarray(table.array)
        key = (array.dtype.name, array.tobytes())
        if key not in self._names:
            self._names[key] = f"{table.stem}{suffix or f'_{len(self._names)}'}"
            self.weight_bytes += array.nbytes
            shown = array if array.size else np.zeros(1, array.dtype)
            about = {"ctype": C_TYPES[array.dtype.name], "name": self._names[key], "length": shown.size, "text": c_array(shown)}
            self.tables.append({**about, "bytes": shown.nbytes, "attribute": ""})
        name = self._names[key]
        self.reads[name] = self.reads.get(name, 0.0) + max(weight_reads if table.stem == "weights" else 0.0, float(array.nbytes))
        return name

    def place_tables(self) -> list[str]:
        """Tell each table which memory it lies in; the regions of those that lie beside the main flash."""
        sizes = {str(table["name"]): int(str(table["bytes"])) for table in self.tables}
        placed = self.program.place_tables(sizes, self.reads)
        for table in self.tables:
            region = placed.get(str(table["name"]))
            table["attribute"] = "" if region is None else f" EW_CONST_IN_{region.upper()}"
        return sorted(set(placed.values()))

    def call_line(self, call: Call, suffix: str, workspace: str, weight_reads: float = 0.0) -> str:
        """The call as a line of C; its parameters are kept for the source. ``suffix`` tells the layer's constants from others."""
        self.kernels.add(call.kernel)
        asked = call.within or call.kernel
        self.permitted[asked] = self.permitted.get(asked, call.permits) & call.permits
        fields = self._fields(call.parameters, suffix, weight_reads)
        name = f"layer{suffix}"
        self.parameter_blocks.append({"structure": call.structure or call.kernel, "name": name, "lines": _lines(fields)})
        arguments = ", ".join(self._argument(argument, suffix, workspace, weight_reads) for argument in call.arguments)
        return f"ew_{call.kernel}(&{name}, {arguments});"

    def _fields(self, parameters: Mapping[str, Parameter], suffix: str, weight_reads: float) -> dict[str, object]:
        """``parameters`` with the names of their tables, which are kept for the source."""
        return {
            key: self.table(value, suffix, weight_reads)
            if isinstance(value, Table)
            else self._fields(value, suffix, weight_reads)
            if isinstance(value, Mapping)
            else value
            for key, value in parameters.items()
        }

    def _argument(self, argument: Argument, suffix: str, workspace: str, weight_reads: float) -> str:
        if isinstance(argument, Table):
            return self.table(argument, suffix, weight_reads)
        if isinstance(argument, Counter | Outside):
            return argument.name if isinstance(argument, Counter) else "outside"
        return self.place(argument.name, argument.offset_bytes) if isinstance(argument, Place) else workspace

    def is_free(self, node: Node) -> bool:
        """Whether the output of ``node`` is its input, in the same place."""
        if not node.op.view or self.program.executed.is_constant(node.inputs[0]):
            return False
        return self.program.plan.offset(node.inputs[0]) == self.program.plan.offset(node.outputs[0])

    def view_copies(self, node: Node) -> list[Call]:
        """A view whose source lies elsewhere (in flash, say) is a copy."""
        size = self.program.executed.value(node.outputs[0]).bytes
        fields: dict[str, Parameter] = {"sizes": [1, 1, 1, 1], "from_step": [0] * 4, "to_step": [0] * 4, "run": size}
        return [Call("copy", fields, [Place(node.inputs[0]), Place(node.outputs[0])])]

    def states(self) -> StateText:
        """How the state is set and carried over."""
        graph = self.program.executed
        resets, lazy = [], False
        for state in graph.states:
            initial = graph.array(state.initial)
            octets = set(initial.tobytes())
            size = graph.value(state.read).bytes
            lazy = lazy or octets != {0}
            target = self.place(state.read)
            if len(octets) == 1:
                resets.append(f"memset({target}, {octets.pop()}, {size});")
            else:
                resets.append(f"memcpy({target}, {self.table(Table('initial', initial))}, {size});")
        copies = [
            f"memmove({self.place(state.read)}, {self.place(state.write)}, {graph.value(state.read).bytes});"
            for state in _in_order(graph.states)
            if self._moves(state)
        ]
        return StateText(resets, copies, lazy)

    def _moves(self, state: State) -> bool:
        graph, plan = self.program.executed, self.program.plan
        return graph.is_constant(state.write) or plan.offset(state.read) != plan.offset(state.write)


def arena_name(region: str) -> str:
    """The array in memory ``region`` that holds values."""
    return "arena" if region == MAIN[0] else f"arena_{region}"


def _in_order(states: tuple[State, ...]) -> list[State]:
    """States in an order in which none overwrites what a later one still copies."""
    pending, ordered = list(states), list[State]()
    while pending:
        ready = [state for state in pending if not any(other.write == state.read for other in pending if other is not state)]
        if not ready:
            raise UnsupportedError("states of the network exchange their values", hint="give one of them a copy through an operator")
        ordered.append(ready[0])
        pending.remove(ready[0])
    return ordered


def _lines(fields: Mapping[str, object]) -> list[str]:
    """Initializers of ``fields``, as many in a line as fit; each line but for the comma at its end."""
    lines: list[str] = []
    for part in re.split(r", (?=\.)", c_initializer(fields)):
        if lines and len(lines[-1]) + len(part) + 2 <= LINE - 5:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines
