"""An ONNX graph to a Graph: node by node through one table, with all that is missing told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.audit import Finding, raise_unsupported
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand, convert
from edgewright.frontends.onnx_arguments import Arguments, Handler, Pieces, Result
from edgewright.frontends.onnx_file import OnnxGraph, OnnxInput, OnnxNode
from edgewright.frontends.onnx_fold import TABLE as FOLDS
from edgewright.frontends.onnx_fold import fold
from edgewright.frontends.onnx_ops_compute import COMPUTE
from edgewright.frontends.onnx_ops_other import OTHER
from edgewright.frontends.onnx_ops_recurrent import RECURRENT
from edgewright.frontends.onnx_quant import Integers, dequantize, quantize
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Graph
from edgewright.ir.layout import BatchMixedError

TABLE: dict[str, Handler] = {**COMPUTE, **RECURRENT, **OTHER}
"""ONNX operator → conversion; other domains than ONNX's own stand before the name."""

SPECIAL = ("QuantizeLinear", "DequantizeLinear", "Shape", "Size", "If")
ON_INTEGERS = (
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Gather",
    "Concat",
    "MaxPool",
    "Identity",
    "Expand",
    "DepthToSpace",
)
"""Operators that move integers without looking at them; optimizers put them between QuantizeLinear and DequantizeLinear."""

OF_INTEGERS = frozenset({"Cast", "Shape", "Gather", "Unsqueeze", "Squeeze", "Reshape", "Expand", "Slice", "Transpose", "Identity", "Equal"})
"""What may read an input of integers: it chooses rows of a table, is moved, or becomes real."""
DYNAMIC_BATCH = 7
"""What a dynamic batch counts while shapes are computed: a number that other axes hardly have."""
FLOATS = (1, 10, 11, 16)
INTEGERS = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}
"""onnx.TensorProto.DataType of inputs."""
HINTS = {
    "LayerNormalization": "normalization over channels is not supported yet",
    "InstanceNormalization": "use batch normalization",
    "LSTM": "recurrent operators are not supported yet",
    "GRU": "recurrent operators are not supported yet",
    "QLinearConv": "export in QDQ format",
    "QLinearMatMul": "export in QDQ format",
    "ConvInteger": "export in QDQ format",
    "MatMulInteger": "export in QDQ format",
    "DynamicQuantizeLinear": "give the float model; Edgewright quantizes dynamically itself",
}


NO_OPERATOR, REPLACE = "there is no such operator here", "replace it by operators that Edgewright has"


class _Missing:
    """The result of a node that could not be converted: what reads it is passed over, so that one audit finds all."""


MISSING = _Missing()
Item = Operand | Integers | Pieces | _Missing


def convert_graph(graph: OnnxGraph, name: str) -> Graph:
    """The Graph of an ONNX graph; UnsupportedError lists everything that has no conversion."""
    return convert(lambda symbolic, orders: _Conversion(graph, name, symbolic, orders).run())


class _Conversion:
    def __init__(self, graph: OnnxGraph, name: str, symbolic: bool, orders: Mapping[str, tuple[int, ...]]) -> None:
        self.graph = graph
        self.door = Door(name, symbolic_batch=symbolic, orders={**orders, **graph.orders})
        self.findings: list[Finding] = []
        self.readers: dict[str, list[OnnxNode]] = {}
        self.holders: dict[str, list[str]] = {}
        self.absent: set[str] = set()
        self.makers = {name: node for node in graph.nodes for name in node.outputs}
        self.shared: set[str] = set()
        self.outputs = set(graph.outputs)
        for node in graph.nodes:
            for value in set(node.inputs):
                self.readers.setdefault(value, []).append(node)
        self.numbers = dict(graph.constants)
        self.numbers.update({node.outputs[0]: fold(node, ())[0] for node in graph.nodes if node.kind == "Constant" and node.outputs})

    def run(self) -> tuple[Door, Sequence[tuple[str, Operand]]]:
        env: dict[str, Item] = {name: Known(array, name) for name, array in self.graph.constants.items()}
        self._inputs(env)
        self._nodes(self.graph.nodes, env, 0)
        raise_unsupported(list(dict.fromkeys(self.findings)), f"ONNX network {self.door.builder.name!r}")
        outputs: list[tuple[str, Operand]] = []
        for name in self.graph.outputs:
            item = env.get(name)
            if item is None or isinstance(item, (_Missing, Pieces)):
                raise ModelError(f"output {name!r} is never computed", hint=INCONSISTENT)
            outputs.append((name, item.operand if isinstance(item, Integers) else item))
        return self.door, outputs

    def _inputs(self, env: dict[str, Item]) -> None:
        if not self.graph.inputs:
            raise ModelError("the model has no inputs", hint="export it with example inputs")
        batches = {entry.shape[:1] for entry in self.graph.inputs}
        if self.door.symbolic_batch and (len(batches) > 1 or () in batches):
            raise BatchMixedError
        for entry in self.graph.inputs:
            moving = [axis for axis, size in enumerate(entry.shape) if size is None and axis > 0]
            if moving:
                self.findings.append(
                    Finding(
                        "input", entry.name, f"its axis {moving[0]} has no fixed size", "export with fixed sizes but for axis 0, the batch"
                    )
                )
        if self.findings:
            unknown = [node for node in self.graph.nodes if node.kind not in TABLE and node.kind not in FOLDS and node.kind not in SPECIAL]
            self.findings += [Finding(node.kind, node.name, NO_OPERATOR, HINTS.get(node.kind, REPLACE)) for node in unknown]
            raise_unsupported(self.findings, f"ONNX network {self.door.builder.name!r}")
        for entry in self.graph.inputs:
            self._input(entry, env)

    def _input(self, entry: OnnxInput, env: dict[str, Item]) -> None:
        dynamic = DYNAMIC_BATCH if self.door.symbolic_batch else 1
        readers = {node.kind for node in self.readers.get(entry.name, [])}
        whole = entry.dtype in INTEGERS and readers != {"DequantizeLinear"}
        held = self.door.input(entry.name, [dynamic if size is None else size for size in entry.shape], whole=whole)
        if entry.dtype in INTEGERS and readers == {"DequantizeLinear"}:
            env[entry.name] = Integers(held, None, INTEGERS[entry.dtype])
            return
        if entry.dtype not in FLOATS and not (entry.dtype in INTEGERS and readers <= OF_INTEGERS):
            raise UnsupportedError(
                f"input {entry.name!r} holds integers that the network computes with",
                hint="inputs are real numbers, or choose rows of a table; convert other integers to float first thing in the network",
            )
        env[entry.name] = held

    def _nodes(self, nodes: Sequence[OnnxNode], env: dict[str, Item], depth: int) -> None:
        for node in nodes:
            self.door.where = node.name
            try:
                results = self._node(node, env, depth)
            except UnsupportedError as error:
                self.findings.append(Finding(node.kind, node.name, error.message, error.hint))
                results = [MISSING] * len(node.outputs)
            except BatchMixedError:
                raise
            except ModelError as error:
                raise ModelError(f"{node.kind} {node.name!r}: {error.message}", hint=error.hint) from error
            except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
                raise ModelError(
                    f"{node.kind} {node.name!r} has inputs or attributes that do not fit together: {error}", hint=INCONSISTENT
                ) from error
            for name, result in zip(node.outputs, results, strict=False):
                if result is None:
                    self.absent.add(name)
                elif name:
                    env[name] = result
                    if isinstance(result, Held):
                        self.holders.setdefault(result.name, []).append(name)

    def _node(self, node: OnnxNode, env: dict[str, Item], depth: int) -> Sequence[Item | None]:
        if node.kind not in TABLE and node.kind not in FOLDS and node.kind not in SPECIAL:
            raise UnsupportedError(NO_OPERATOR, hint=HINTS.get(node.kind, REPLACE))
        inputs = [self._look_up(name, node, env) for name in node.inputs]
        if any(isinstance(item, _Missing) for item in inputs):
            return [MISSING] * len(node.outputs)
        if node.kind == "If":
            return self._branch(node, inputs[0], env, depth)
        if node.kind == "DequantizeLinear":
            plain = [item if isinstance(item, (Held, Known)) else None for item in inputs]
            first = inputs[0] if inputs else None
            if not isinstance(first, (Held, Known, Integers)):
                raise UnsupportedError("it has no tensor to dequantize", hint=INCONSISTENT)
            return [dequantize(self.door, Arguments(node, plain), first)]
        if any(isinstance(item, Integers) for item in inputs):
            return self._on_integers(node, inputs)
        operands = [item if isinstance(item, (Held, Known, Pieces)) else None for item in inputs]
        arguments = Arguments(node, operands)
        if node.kind == "QuantizeLinear":
            return [quantize(self.door, arguments, lambda: self._alone(node, arguments))]
        if node.kind in ("Shape", "Size") and isinstance(operands[0], Held):
            return [self._shape(node, operands[0])]
        if node.kind in FOLDS and not any(isinstance(item, Held) for item in operands):
            arrays = fold(node, [item.array if isinstance(item, Known) else None for item in operands])
            return [Known(array, name, _kept_quant(node, operands)) for array, name in zip(arrays, node.outputs, strict=False)]
        if node.kind not in TABLE:
            raise UnsupportedError("it computes with activations", hint=HINTS.get(node.kind, REPLACE))
        return _results(TABLE[node.kind](self.door, arguments))

    def _look_up(self, name: str, node: OnnxNode, env: Mapping[str, Item]) -> Item | None:
        if not name:
            return None
        if name in self.absent:
            raise UnsupportedError(f"it reads {name!r}, indices or another result beside the main one", hint="use the main result alone")
        if name not in env:
            raise ModelError(f"it reads {name!r}, which nothing computes", hint=INCONSISTENT)
        return env[name]

    def _shape(self, node: OnnxNode, x: Held) -> Known:
        shape = np.asarray(x.layout.shape, np.int64)
        if node.kind == "Size":
            return Known(np.asarray(np.prod(shape), np.int64), node.outputs[0])
        start, end = Arguments(node, ()).integer("start", 0), node.attributes.get("end")
        return Known(shape[start:end], node.outputs[0])

    def _branch(self, node: OnnxNode, condition: Item | None, env: dict[str, Item], depth: int) -> Sequence[Item | None]:
        """The branch of an If whose condition is known."""
        if not isinstance(condition, Known) or condition.array.size != 1:
            raise UnsupportedError("a branch that depends on the data", hint="export the network without control flow")
        chosen = node.graphs.get("then_branch" if condition.array.reshape(-1)[0] else "else_branch")
        if chosen is None:
            raise ModelError(f"If {node.name!r} lacks a branch", hint=INCONSISTENT)
        inner: dict[str, Item] = {**env, **{name: Known(array, name) for name, array in chosen.constants.items()}}
        self._nodes(chosen.nodes, inner, depth + 1)
        return [self._look_up(name, node, inner) for name in chosen.outputs]

    def _on_integers(self, node: OnnxNode, inputs: Sequence[Item | None]) -> Sequence[Item | None]:
        """An operator between QuantizeLinear and DequantizeLinear."""
        grids = {(item.quant, item.dtype) for item in inputs if isinstance(item, Integers)}
        data = [item for item in inputs if isinstance(item, Held)]
        if node.kind not in ON_INTEGERS or len(grids) != 1 or data:
            raise UnsupportedError("it computes with integers", hint="put DequantizeLinear before it and QuantizeLinear behind it")
        quant, dtype = grids.pop()
        operands = [item.operand if isinstance(item, Integers) else item if isinstance(item, (Held, Known)) else None for item in inputs]
        if node.kind in FOLDS and not any(isinstance(item, Held) for item in operands):
            raise UnsupportedError("it moves constant integers", hint="fold constants when exporting the model")
        results = _results(TABLE[node.kind](self.door, Arguments(node, operands)))
        return [Integers(item, quant, dtype) if isinstance(item, (Held, Known)) else None for item in results]

    def _alone(self, node: OnnxNode, a: Arguments) -> bool:
        """Whether the input of a QuantizeLinear is read by none but such that round it to the same grid."""
        x = a.operand(0)
        if not isinstance(x, Held) or x.name in self.shared:
            return not isinstance(x, Held)
        names = {node.inputs[0], *self.holders.get(x.name, [])}
        makers = {id(self.makers[name]) for name in names if name in self.makers}
        readers = [reader for name in names for reader in self.readers.get(name, []) if id(reader) not in makers]
        same = all(reader.kind == "QuantizeLinear" and _same_grid(reader, node, self.numbers) for reader in readers)
        if same and not names & self.outputs:
            return True
        self.shared.add(x.name)
        return False


def _same_grid(first: OnnxNode, second: OnnxNode, numbers: Mapping[str, NDArray[np.generic]]) -> bool:
    """Whether two QuantizeLinear nodes round alike."""
    if first.attributes != second.attributes or len(first.inputs) != len(second.inputs):
        return False
    for one, other in zip(first.inputs[1:], second.inputs[1:], strict=True):
        if one == other:
            continue
        if one not in numbers or other not in numbers or numbers[one].dtype != numbers[other].dtype:
            return False
        if not np.array_equal(numbers[one], numbers[other]):
            return False
    return True


def _kept_quant(node: OnnxNode, operands: Sequence[Operand | Pieces | None]) -> Quant | None:
    """The grid of a constant that a node only moves; UnsupportedError where its axis cannot be followed."""
    quants = {item.quant for item in operands if isinstance(item, Known) and item.quant is not None}
    if not quants:
        return None
    quant = quants.pop()
    plain = sum(isinstance(item, Known) and item.quant is None and item.array.dtype.kind == "f" for item in operands)
    if quants or plain or node.kind not in ON_INTEGERS:
        return None  # computed in reals, which is what stands there
    if quant.axis is None or node.kind == "Identity":
        return quant
    if node.kind == "Unsqueeze" and len(operands) == 2 and isinstance(operands[1], Known) and isinstance(operands[0], Known):
        rank = operands[0].array.ndim + operands[1].array.size
        added = {int(axis) % rank for axis in operands[1].array.reshape(-1)}
        return dataclasses.replace(quant, axis=[axis for axis in range(rank) if axis not in added][quant.axis])
    permutation = node.attributes.get("perm")
    if node.kind != "Transpose" or permutation is None or quant.axis not in permutation:
        raise UnsupportedError("it moves a constant that is quantized per channel", hint="fold constants before quantizing")
    return dataclasses.replace(quant, axis=list(permutation).index(quant.axis))


def _results(result: Result) -> Sequence[Operand | Pieces | None]:
    return [result] if isinstance(result, (Held, Known, Pieces)) else list(result)
