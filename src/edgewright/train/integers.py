"""The device's integers in training: every value is what the integer program computes, every gradient passes straight through rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.ir.operator import Operator
from edgewright.ops.convolution import exact_sums
from edgewright.ops.levels import nearest_level, weight_levels
from edgewright.ops.requant import activation_range, rescale_products, tensor_quant
from edgewright.train.straight_through import pass_latent, pass_through, pass_through_scaled

LEARNED = ("none", "weights", "all")
"""Which step sizes are trained: of no value, of weights, of weights and activations."""


class Integers(nn.Module):
    """The grids of a quantized graph (one in which every change of grid is a Requantize), and operators on them.

    Values are integers, zero point included, in float32, biases in float64: exact, and differentiable. A gradient passes a rounding as if
    it were not there, and a clamp where the number lies within it (the straight-through estimator, arXiv:1308.3432). Learned step sizes
    are trained as in LSQ (arXiv:1902.08153), by their logarithm (arXiv:1903.08066), so that a step of the optimizer is a relative one.
    What an operator's arithmetic fixes and the network's inputs keep their grids; zero points stay.
    """

    def __init__(self, graph: Graph, learned: str = "none") -> None:
        super().__init__()
        if learned not in LEARNED:
            raise RecipeError(f"unknown step sizes {learned!r} to learn", hint=f"one of {', '.join(LEARNED)}")
        self.graph = graph
        self.values = {name: dataclasses.replace(value, dtype=_quant(value).dtype) for name, value in graph.values.items()}
        self.floors = {name: _floor(constant, graph.value(name)) for name, constant in graph.constants.items()}
        self.levels = {name: found for name, constant in graph.constants.items() if (found := weight_levels(graph, name)) is not None}
        self.groups = _groups(graph, learned)
        pairs = {bias: (node.inputs[0], node.inputs[1]) for node, bias in _biased(graph)}
        self.biases = {bias: pair for bias, pair in pairs.items() if {*pair} & {*self.groups}}
        self.logs = nn.ParameterList(torch.zeros(len(_quant(graph.value(names[0])).scale)) for names in _members(self.groups))
        for value in graph.values.values():
            self.register_buffer(f"_scale_{len(self._buffers)}", torch.tensor(_quant(value).scale, dtype=torch.float32), persistent=False)
        self._buffer = {name: f"_scale_{index}" for index, name in enumerate(graph.values)}

    def scale(self, name: str) -> Tensor:
        """The scales of value ``name``: (1,), or (n,) along its axis; float32."""
        if name in self.biases:
            data, weight = self.biases[name]
            return self.scale(weight) * self.scale(data)
        held: Tensor = getattr(self, self._buffer[name])
        return held * torch.exp(self.logs[self.groups[name]]) if name in self.groups else held

    def refresh(self) -> None:
        """Take over the step sizes as they are now; to be called before values are computed."""
        for name in (*self.groups, *self.biases):
            quant, scale = _quant(self.values[name]), tuple(self.scale(name).detach().tolist())
            if scale != quant.scale:
                self.values[name] = dataclasses.replace(self.values[name], quant=dataclasses.replace(quant, scale=scale))

    def enter(self, name: str, x: Tensor) -> Tensor:
        """Real input ``x`` as integers."""
        return self._round(name, x, _quant(self.values[name]).dtype.minimum)

    def leave(self, name: str, x: Tensor) -> Tensor:
        """Integers ``x`` of value ``name`` as reals."""
        zero, scale = self._shaped(name, x.ndim)
        return ((x - zero) * scale).to(torch.float32)

    def _real(self, name: str, x: Tensor) -> Tensor:
        """As :meth:`leave`, in one pass over memory and up to rounding."""
        zero, scale = self._shaped(name, x.ndim)
        return torch.addcmul(-zero * scale, x.to(torch.float32), scale)

    def steps(self, name: str, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Real numbers ``latent`` of constant ``name`` as integers; where ``mask`` is False, the one that stands for 0."""
        if name not in self.levels:
            return self._round(name, latent, self.floors[name])
        scale, levels = self._shaped(name, latent.ndim)[1], self.levels[name]
        with torch.no_grad():
            exact = nearest_level(latent / scale, levels)
            if mask is not None:
                exact *= mask
        return pass_latent(latent, scale, exact, levels[0], levels[-1])

    def _round(self, name: str, x: Tensor, low: int) -> Tensor:
        zero, scale = self._shaped(name, x.ndim)
        high = _quant(self.values[name]).dtype.maximum
        with torch.no_grad():
            exact = ((x.double() / scale.double()).round_() + zero).clamp_(low, high)
            if _quant(self.values[name]).dtype is not DType.INT32:
                exact = exact.to(torch.float32)
        if not (torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad)):
            return exact
        return pass_through(x / scale + zero, exact, low, high)

    def _shaped(self, name: str, rank: int) -> tuple[Tensor, Tensor]:
        """Zero points and scales of ``name``, to broadcast against a tensor of ``rank`` axes."""
        quant, scale = _quant(self.values[name]), self.scale(name)
        if quant.axis is None:
            return torch.tensor(float(quant.zero_point[0]), device=scale.device), scale.reshape(())
        shape = [-1 if axis == quant.axis else 1 for axis in range(rank)]
        return torch.tensor(quant.zero_point, dtype=torch.float32, device=scale.device).reshape(shape), scale.reshape(shape)

    def apply_node(self, node: Node, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The integers that ``node`` gives for integers ``tensors``."""
        ins, outs = [self.values[name] for name in node.inputs], [self.values[name] for name in node.outputs]
        if node.op.view:
            return node.op.evaluate(tensors)
        if not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors)) and not self._learns(node):
            return tuple(x.to(torch.float32) for x in node.op.evaluate_integer([_int32(x) for x in tensors], ins, outs))
        if is_product(node.op):
            return (self._product(node, tensors, ins, outs[0]),)
        exact = node.op.evaluate_integer([_int32(x) for x in tensors], ins, outs)
        reals = node.op.evaluate([self._real(name, x) for name, x in zip(node.inputs, tensors, strict=True)])
        results = []
        for value, integers, real in zip(outs, exact, reals, strict=True):
            zero, scale = self._shaped(value.name, real.ndim)
            estimate = torch.addcmul(zero, real, 1 / scale)
            results.append(pass_through(estimate, integers.to(torch.float32), value.dtype.minimum, value.dtype.maximum))
        return tuple(results)

    def _learns(self, node: Node) -> bool:
        return torch.is_grad_enabled() and any(name in self.groups for name in (*node.inputs, *node.outputs))

    def _product(self, node: Node, tensors: Sequence[Tensor], ins: Sequence[Value], out: Value) -> Tensor:
        """A layer with weights: one convolution of integers serves value and gradient."""
        plain = dataclasses.replace(node.op, activation="none")  # type: ignore[call-arg]

        def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return plain.evaluate([x, weight] if bias is None else [x, weight, bias])[0]

        sums = exact_sums(multiply, tensors, ins)
        activation = str(getattr(node.op, "activation", "none"))
        (low, high), zero = activation_range(activation, out), tensor_quant(out)[1]
        with torch.no_grad():
            exact = rescale_products(sums, ins[0], ins[1], out, activation).to(torch.float32)
        factor = self.scale(node.inputs[0]) * self.scale(node.inputs[1]) / self.scale(out.name)
        return pass_through_scaled(sums.to(torch.float32), factor, zero, exact, low, high)

    def moved(self, graph: Graph) -> list[Value]:
        """Values of ``graph`` whose step sizes are others than they were."""
        self.refresh()
        found = [(value, self.values[name].quant) for name, value in graph.values.items()]
        return [dataclasses.replace(value, quant=quant) for value, quant in found if quant != value.quant]

    def trained(self, name: str, real: Tensor, mask: Tensor | None) -> Tensor:
        """Numbers of constant ``name`` that round to the integers of ``real``: biases as they are, others rounded."""
        if self.values[name].dtype.bits > 16 or not bool(torch.isfinite(real).all()):
            return real
        with torch.no_grad():
            return self.leave(name, self.steps(name, real, mask))

    def codebook(self, name: str) -> Tensor:
        """The reals (O, levels) that binary or ternary weights ``name`` can have."""
        return self.scale(name)[:, None] * torch.tensor(self.levels[name], dtype=torch.float32)


def is_product(op: Operator) -> bool:
    """Whether ``op`` sums products of data and weights, adds a bias and rescales: by ``exact_sums`` and ``output_multiplier``."""
    return op.weight_inputs == (1,) and op.bias_input == 2 and hasattr(op, "activation")


def _quant(value: Value) -> Quant:
    assert value.quant is not None
    return value.quant


def _floor(constant: Constant, value: Value) -> int:
    """The least integer of a constant: int8 weights leave out -128, as the specification asks, where they do so when they come."""
    quant = _quant(value)
    if quant.axis is None or quant.dtype is not DType.INT8:
        return quant.dtype.minimum
    lowest = int(quant.to_integer(np.asarray(constant.array, np.float32)).min(initial=0))
    return min(lowest, -quant.dtype.maximum)


def _biased(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Nodes with a bias that is a constant, and its name."""
    for node in graph.nodes:
        index = node.op.bias_input
        if node.op.weight_inputs == (1,) and index is not None and index < len(node.inputs) and graph.is_constant(node.inputs[index]):
            yield node, node.inputs[index]


def _groups(graph: Graph, learned: str) -> dict[str, int]:
    """Values whose step sizes are learned → the number of theirs; values that must share one grid have the same."""
    if learned == "none":
        return {}
    shared = _Shared()
    for node in graph.nodes:
        if node.op.same_quant:
            shared.join(*(name for index, name in enumerate(node.inputs) if index not in node.op.index_inputs), *node.outputs)
    for state in graph.states:
        shared.join(state.read, state.write, state.initial)
    weights = {node.inputs[index] for node in graph.nodes for index in node.op.weight_inputs}
    wanted = {name for name in graph.values if name in weights or (learned == "all" and name not in graph.constants)}
    moving, fixed = {shared.root(name) for name in wanted}, {shared.root(name) for name in _fixed(graph)}
    fixed |= {shared.root(name) for name in graph.values if name not in wanted} if learned == "weights" else set()
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(shared.root(name), len(numbers)) for name in graph.values if shared.root(name) in moving - fixed}


class _Shared:
    """Union-find over the names of values that share one grid."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def join(self, first: str, *others: str) -> None:
        for other in others:
            self._parents[self.root(other)] = self.root(first)


def _fixed(graph: Graph) -> Iterator[str]:
    """Values whose grid stays: inputs, what an operator fixes, and what gives its scale to a bias that has it from others too."""
    yield from graph.inputs
    pairs: dict[str, set[tuple[str, str]]] = {}
    for node in graph.nodes:
        yield from (name for index, name in enumerate(node.outputs) if node.op.output_quant(graph.ins(node), index) is not None)
    for node, bias in _biased(graph):
        pairs.setdefault(bias, set()).add((node.inputs[0], node.inputs[1]))
    yield from (name for found in pairs.values() if len(found) > 1 for pair in found for name in pair)


def _members(groups: Mapping[str, int]) -> Iterable[list[str]]:
    found: dict[int, list[str]] = {}
    for name, number in groups.items():
        found.setdefault(number, []).append(name)
    return found.values()


def _int32(x: Tensor) -> Tensor:
    return x.detach().to(torch.int32)
