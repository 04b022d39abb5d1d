"""Importers of the .tflite variables: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, and CALL_ONCE with their first contents.

A variable becomes a state of the graph. Reading it after it was assigned in the same call gives the new content, as the file's order of
operators says.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.frontends.tflite_file import Operation, Subgraph, TensorRecord, damaged
from edgewright.frontends.tflite_importer import Importer, InexpressibleError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph


class Variables:
    """What an Importer knows of variables: first contents, the state that each became, and the value that it holds at this point."""

    def __init__(self) -> None:
        self.initial: dict[str, TensorRecord] = {}
        self.states: dict[str, str] = {}
        self.current: dict[str, str] = {}

    def call_once(self, importer: Importer, operation: Operation) -> None:
        """CALL_ONCE of a subgraph that does nothing but assign constants to variables."""
        index = operation.options(schema.CallOnceOptionsT).initSubgraphIndex
        if not 1 <= index < len(importer.subgraphs):
            raise damaged(f"CALL_ONCE names subgraph {index} of {len(importer.subgraphs)}")
        subgraph = importer.subgraphs[index]
        handles: dict[int, str] = {}
        for step in subgraph.operations:
            if step.kind == "VAR_HANDLE" and len(step.outputs) == 1:
                handles[step.outputs[0]] = _key(step)
            elif step.kind == "ASSIGN_VARIABLE" and _assigns_constant(step, subgraph, handles):
                self.initial[handles[step.inputs[0]]] = subgraph.tensors[step.inputs[1]]
            else:
                raise InexpressibleError(f"it initializes with {step.kind}", "initialize variables with constants")

    def var_handle(self, importer: Importer, operation: Operation) -> None:
        """VAR_HANDLE."""
        importer.handles[importer.output_record(operation).index] = _key(operation)

    def read_variable(self, importer: Importer, operation: Operation) -> None:
        """READ_VARIABLE: the state, or what was assigned to it earlier in this call."""
        key, record = self._handle(importer, operation), importer.output_record(operation)
        if key not in self.current:
            name, dtype, quant = importer.names[record.index], importer.dtype(record), importer.quant(record)
            if dtype.is_integer and quant is None:
                raise InexpressibleError(f"variable {key!r} has type {record.type} without a scale", "quantize the network again")
            fill = 0 if quant is None else quant.zero_point[0]
            array = self._first(importer, key, record, dtype, fill)
            initial = importer.builder.constant(importer.derived(operation, "initial"), array, dtype=dtype, quant=quant)
            self.states[key] = self.current[key] = importer.builder.state(name, importer.full_shape(record), initial, dtype, quant)
        importer.alias(operation, self.current[key])

    def assign_variable(self, importer: Importer, operation: Operation) -> None:
        """ASSIGN_VARIABLE."""
        key, name = self._handle(importer, operation), importer.operand(operation, 1)
        state = self.states.get(key)
        if state is not None:
            old, new = importer.value(state), importer.value(name)
            if old.shape != new.shape or old.dtype != new.dtype:
                raise damaged(f"variable {key!r} is read as {old.dtype.value}{list(old.shape)}, "
                              f"assigned as {new.dtype.value}{list(new.shape)}")
            if old.quant != new.quant:
                raise InexpressibleError(f"variable {key!r} is assigned on another scale than it is read on", "quantize the network again")
        self.current[key] = name

    def finish(self, importer: Importer, outputs: list[str]) -> Graph:
        """The graph, its states in the order of the file's handles, each with what it holds at the end of a call."""
        for key, state in self.states.items():
            importer.builder.write_state(state, self.current[key])
        graph = importer.builder.finish(outputs)
        order = {self.states[key]: place for place, key in enumerate(importer.handles.values()) if key in self.states}
        return rebuild(graph, states=sorted(graph.states, key=lambda state: order[state.read])) if graph.states else graph

    def _handle(self, importer: Importer, operation: Operation) -> str:
        index = importer.record(operation, 0).index
        if index not in importer.handles:
            raise operation.broken(f"uses {importer.names[index]!r}, which is no variable")
        return importer.handles[index]

    def _first(self, importer: Importer, key: str, record: TensorRecord, dtype: DType, fill: int) -> NDArray[np.generic]:
        """First content of a variable; real zero where the file gives none, as TFLM does."""
        initial = self.initial.get(key)
        if initial is None:
            importer.charge(record.elements * dtype.numpy.itemsize)
            return np.full(record.shape, fill, dtype.numpy)
        if initial.shape != record.shape or initial.type != record.type or importer.quant(initial) != importer.quant(record):
            raise damaged(f"variable {key!r} is read as {record.type}{list(record.shape)}, "
                          f"initialized as {initial.type}{list(initial.shape)}")
        if record.type == "UINT8":
            raise InexpressibleError(f"variable {key!r} is uint8, the legacy quantization",
                                     "quantize the network again: current converters write int8")
        return initial.array()


def _key(operation: Operation) -> str:
    options = operation.options(schema.VarHandleOptionsT)
    container, name = (("" if part is None else bytes(part).decode("utf-8", "replace")) for part in (options.container, options.sharedName))
    return f"{container}/{name}" if container else name


def _assigns_constant(step: Operation, subgraph: Subgraph, handles: Mapping[int, str]) -> bool:
    return len(step.inputs) == 2 and step.inputs[0] in handles and step.inputs[1] >= 0 and subgraph.tensors[step.inputs[1]].data is not None
