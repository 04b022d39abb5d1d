"""A Graph as a torch module, and its weights back. Operators are evaluated by themselves, so what is trained is what is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node, Structure
from edgewright.ir.verify import verify
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.embedding import Embedding
from edgewright.ops.grids import with_requantize
from edgewright.ops.prelu import PRelu
from edgewright.train.integers import Integers

Observe = Callable[[Node, Tensor], None]
MOMENTUM = 0.1
"""Share of the new batch in the running statistics of batch normalization, as in torch."""
HEADS = ("Softmax", "LogSoftmax")


def to_module(
    graph: Graph, *, trainable: Iterable[str] | None = None, checkpointed: bool = False, learned_steps: str = "none"
) -> GraphModule:
    """A trainable module that computes what ``graph`` computes; inputs and outputs real and channels-last, one tensor each.

    Parameters bear their constants' names (dots make sub-modules); ``trainable`` names other ones than the weights, biases, slopes
    and batch norm's scales and offsets that are trained by default. Pruned weights stay zero and clustered weights share their centroids,
    whatever the training loop does. In training mode batch norm takes the batch's statistics and updates its own. ``checkpointed``:
    activations are computed again in the backward pass instead of kept.

    A graph at the quantized level becomes quantization-aware training: every value is what the device's integers stand for, exactly, and
    gradients pass straight through the roundings; the parameters are the real numbers that are rounded. ``learned_steps``: whether the
    step sizes are trained too: none, weights, or all. It computes on the CPU. UnsupportedError for an integer graph.
    """
    if graph.level is Level.INTEGER:
        raise UnsupportedError(f"{graph.name!r} is at the integer level, which has no gradients", hint="train before lowering")
    names = set(_learned(graph)) if trainable is None else set(trainable)
    unknown = sorted(names - set(graph.constants))
    if unknown:
        raise ModelError(f"graph {graph.name!r} has no constant {unknown[0]!r}", hint=f"they are {', '.join(graph.constants)}")
    return GraphModule(graph, names, checkpointed, learned_steps)


def from_module(module: nn.Module) -> Graph:
    """The graph that ``module`` was made of, with the weights, statistics and step sizes that it has now; structures are kept.

    ModelError where ``module`` does not come from :func:`to_module`, or where a weight is not finite.
    """
    inner = getattr(module, "module", module)
    inner = getattr(inner, "_orig_mod", inner)
    if not isinstance(inner, GraphModule):
        raise ModelError(f"{type(module).__name__} was not made of a graph", hint="give what edgewright.to_module returned")
    values = [] if inner.integers is None else inner.integers.moved(inner.graph)
    constants = {}
    for name, old in inner.graph.constants.items():
        array = inner.trained(name)
        structure = _updated(old.structure, inner.codebook(name))
        if np.array_equal(array, old.array) and structure is old.structure:
            continue
        if not np.isfinite(array).all():
            raise ModelError(f"constant {name!r} holds numbers that are not finite", hint="the training diverged: lower the learning rate")
        constants[name] = Constant(array.astype(old.array.dtype), structure)
    return verify(rebuild(inner.graph, values=values, constants=constants)) if constants or values else inner.graph


def _updated(structure: Structure | None, codebook: Tensor | None) -> Structure | None:
    if structure is None or codebook is None or structure.codebook is None:
        return structure
    rows = codebook.detach().cpu().numpy().reshape(structure.codebook.shape).astype(structure.codebook.dtype)
    same = np.array_equal(rows, structure.codebook)
    return structure if same else Structure(structure.mask, structure.pattern, rows, structure.bits)


def _learned(graph: Graph) -> Iterator[str]:
    """Constants that training changes by default."""
    for node in graph.nodes:
        weights = (*node.op.weight_inputs, *node.op.channel_inputs)
        own = [*weights, *(bias for bias in map(node.op.bias_of, weights) if bias is not None)]
        own += [1, 2] if isinstance(node.op, BatchNorm) else [1] if isinstance(node.op, PRelu) else []
        own += [0] if isinstance(node.op, Embedding) else []
        named = [node.inputs[index] for index in own if index < len(node.inputs) and graph.is_constant(node.inputs[index])]
        yield from (name for name in named if not _has_groups(graph.constants[name].structure))


def _has_groups(structure: Structure | None) -> bool:
    """Whether neighbours share factors, which training would break: such weights stay as they are."""
    return structure is not None and structure.group is not None


class GraphModule(nn.Module):
    """What :func:`to_module` makes; call it with one tensor an input, get a tensor (or a tuple, where the graph has several outputs)."""

    def __init__(self, graph: Graph, trainable: set[str], checkpointed: bool = False, learned_steps: str = "none") -> None:
        super().__init__()
        executed = with_requantize(graph) if graph.level is Level.QUANTIZED else graph
        self.graph = graph
        self.integers = Integers(executed, learned_steps) if graph.level is Level.QUANTIZED else None
        self.checkpointed = checkpointed
        self._updates = True
        self._paths: dict[str, tuple[str, ...]] = {}
        self._masks: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._inputs, self._states = graph.inputs, tuple((state.read, state.initial, graph.value(state.read).shape[:1] == (None,))
                                                         for state in executed.states)
        self._batched = next((index for index, name in enumerate(graph.inputs) if graph.value(name).shape[:1] == (None,)), None)
        for name, constant in executed.constants.items():
            self._hold(name, torch.from_numpy(constant.array.astype(np.float32)).clone(), constant.structure, name in trainable)
        self._plan = tuple((node, _dropped(executed, index)) for index, node in enumerate(executed.nodes))

    def _hold(self, name: str, tensor: Tensor, structure: Structure | None, trained: bool) -> None:
        """Register constant ``name``: its numbers or, where it is clustered, its centroids."""
        mask = None if structure is None else structure.mask
        if structure is not None and mask is None and structure.pattern is not None:
            mask = tensor.numpy() != 0
        if mask is not None:
            self._masks[name] = f"_mask_{len(self._masks)}"
            self.register_buffer(self._masks[name], torch.from_numpy(np.array(mask)), persistent=False)
        free = self.integers is not None and name in self.integers.levels
        if trained and structure is not None and structure.codebook is not None and not free:
            rows, codes = _codes(tensor.numpy(), structure.codebook)
            self._codes[name] = f"_codes_{len(self._codes)}"
            self.register_buffer(self._codes[name], torch.from_numpy(codes), persistent=False)
            tensor = torch.from_numpy(rows)
        holder, path = self._place(name)
        self._paths[name] = path
        if trained:
            holder.register_parameter(path[-1], nn.Parameter(tensor))
        else:
            holder.register_buffer(path[-1], tensor)

    def _place(self, name: str) -> tuple[nn.Module, tuple[str, ...]]:
        """The sub-module that holds ``name``, and the path to it; a name that torch cannot hold gets underscores."""
        parts = tuple(name.split("."))
        holder: nn.Module = self
        for part in parts[:-1]:
            child = holder._modules.get(part)
            if not part or (child is None and hasattr(holder, part)):
                break
            if child is None:
                child = nn.Module()
                holder.add_module(part, child)
            holder = child
        else:
            if parts[-1] and not hasattr(holder, parts[-1]):
                return holder, parts
        flat = name.replace(".", "_") + "_"
        while hasattr(self, flat):
            flat += "_"
        return self, (flat,)

    def raw(self, name: str) -> Tensor:
        """The parameter or buffer behind constant ``name``: what is optimized."""
        held: nn.Module | Tensor = self
        for part in self._paths[name]:
            held = getattr(held, part)
        assert isinstance(held, Tensor)
        return held

    def codebook(self, name: str) -> Tensor | None:
        """The centroids (rows, values) of constant ``name``, None where it is not clustered and trained."""
        if self.integers is not None and name in self.integers.levels:
            return self.integers.codebook(name)
        return self.raw(name) if name in self._codes else None

    def constant(self, name: str) -> Tensor:
        """Constant ``name`` in real numbers: centroids looked up, pruned weights zero."""
        tensor = self.raw(name)
        if name in self._codes:
            tensor = tensor.reshape(-1)[getattr(self, self._codes[name])]
        if name in self._masks:
            tensor = torch.where(getattr(self, self._masks[name]), tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device))
        return tensor

    def operand(self, name: str) -> Tensor:
        """Constant ``name`` as the operators read it: as integers, where the graph is quantized."""
        real = self.constant(name)
        return real if self.integers is None else self.integers.steps(name, real, self._mask(name))

    def trained(self, name: str) -> NDArray[np.generic]:
        """The array of constant ``name`` in the graph that comes back."""
        real = self.constant(name).detach()
        if self.integers is None or name in self._codes or np.array_equal(real.numpy(), self.graph.constants[name].array):
            return real.cpu().numpy()
        return self.integers.trained(name, real, self._mask(name)).numpy()

    def _mask(self, name: str) -> Tensor | None:
        return getattr(self, self._masks[name]) if name in self._masks else None

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The graph's outputs; states start from their initial values."""
        return self._run(inputs, self.graph.outputs)

    def logits(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """As the call, but what goes into a softmax that ends the network instead of what comes out: what cross-entropy is taken of."""
        return self._run(inputs, tuple(before_softmax(self.graph, name) for name in self.graph.outputs))

    def observe(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
        """The values ``names`` of the graph, by name, and under "" what :meth:`logits` gives. ModelError for a name that is no value."""
        for name in names:
            if name not in self.graph.values or name in self.graph.constants:
                made = ", ".join(output for node in self.graph.nodes for output in node.outputs)
                raise ModelError(f"graph {self.graph.name!r} has no value {name!r}", hint=f"its layers give {made}")
        ends = tuple(before_softmax(self.graph, name) for name in self.graph.outputs)
        found = self._run(inputs, (*ends, *names))
        tensors = found if isinstance(found, tuple) else (found,)
        outputs = tensors[0] if len(ends) == 1 else tensors[: len(ends)]
        return {"": outputs, **dict(zip(names, tensors[len(ends) :], strict=True))}

    def _run(self, inputs: Sequence[Tensor], outputs: tuple[str, ...]) -> Tensor | tuple[Tensor, ...]:
        if len(inputs) != len(self._inputs):
            raise ModelError(f"{self.graph.name!r} takes {len(self._inputs)} inputs, got {len(inputs)}", hint=", ".join(self._inputs))
        held = self._entered(inputs)
        if self.checkpointed and self.training and torch.is_grad_enabled():
            length = max(1, math.isqrt(len(self._plan)))
            for start in range(0, len(self._plan), length):
                held = self._recomputed(start, start + length, held, outputs)
        else:
            held = self._steps(0, len(self._plan), held, outputs)
        results = tuple(held[name] if name in held else self.operand(name) for name in outputs)
        if self.integers is not None:
            # Integers saturate where floats become infinite; what is not finite comes out all the same.
            nothing = sum(((x.detach() * 0).sum() for x in (*inputs, *self.parameters())), torch.zeros(()))
            results = tuple(self.integers.leave(name, x) + nothing for name, x in zip(outputs, results, strict=True))
        return results[0] if len(results) == 1 else results

    def _entered(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Inputs and fresh states as the operators read them."""
        if self.integers is not None:
            self.integers.refresh()
            inputs = [self.integers.enter(name, x) for name, x in zip(self._inputs, inputs, strict=True)]
        held = dict(zip(self._inputs, inputs, strict=True))
        batch = 1 if self._batched is None else inputs[self._batched].shape[0]
        for read, initial, symbolic in self._states:
            fresh = self.operand(initial)
            held[read] = fresh.expand(batch, *fresh.shape[1:]) if symbolic else fresh
        return held

    def _steps(self, start: int, stop: int, held: dict[str, Tensor], outputs: tuple[str, ...], observe: Observe | None = None
               ) -> dict[str, Tensor]:
        """Nodes ``start`` … ``stop`` applied to the values ``held``; those that are read later come back."""
        held = dict(held)
        for node, dropped in self._plan[start:stop]:
            tensors = [held[name] if name in held else self.operand(name) for name in node.inputs]
            if self.training and isinstance(node.op, BatchNorm):
                results: tuple[Tensor, ...] = (self._normalized(node, node.op.epsilon, *tensors[:3]),)
            elif self.integers is not None:
                results = self.integers.apply_node(node, tensors)
            else:
                results = node.op.evaluate(tensors)
            held.update(zip(node.outputs, results, strict=True))
            if observe is not None:
                for result in results:
                    observe(node, result)
            for name in dropped:
                if name not in outputs:
                    held.pop(name, None)
        return held

    def _recomputed(self, start: int, stop: int, held: dict[str, Tensor], outputs: tuple[str, ...]) -> dict[str, Tensor]:
        def again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), self._without_updates()

        found = checkpoint(self._steps, start, stop, held, outputs, use_reentrant=False, context_fn=again)
        return dict(found)

    @contextmanager
    def _without_updates(self) -> Iterator[None]:
        """Running statistics stay: the pass is one that was seen before."""
        before, self._updates = self._updates, False
        try:
            yield
        finally:
            self._updates = before

    def _normalized(self, node: Node, epsilon: float, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        """Batch norm by mean and variance of the batch; the running ones move towards them. One kernel, twice as fast as its parts."""
        planes = x.movedim(-1, 1)
        kept = [self.raw(name) if name in self._paths else torch.ones_like(scale) for name in node.inputs[3:]]
        running = kept if self._updates else [tensor.clone() for tensor in kept]
        if planes.numel() == planes.shape[1]:  # One number a channel has no variance, which torch refuses.
            return offset + 0 * (planes.movedim(1, -1) * scale)
        normal = F.batch_norm(planes, running[0], running[1], scale, offset, True, MOMENTUM, epsilon)
        return normal.movedim(1, -1)

    def first_not_finite(self, *inputs: Tensor) -> str | None:
        """The first node (or input, or constant) whose numbers are not all finite for ``inputs``; None where all are."""
        for name, tensor in (*zip(self._inputs, inputs), *((name, self.constant(name)) for name in self._paths)):
            if not bool(torch.isfinite(tensor).all()):
                return name
        found: list[str] = []

        def look(node: Node, x: Tensor) -> None:
            if not found and not bool(torch.isfinite(x).all()):
                found.append(node.name)

        with torch.no_grad(), self._without_updates():
            self._steps(0, len(self._plan), self._entered(inputs), (), look)
        return found[0] if found else None


def before_softmax(graph: Graph, name: str) -> str:
    """What goes into the softmax that makes value ``name``; ``name`` itself where none does."""
    maker = graph.producers.get(name)
    return maker.inputs[0] if maker is not None and maker.op.kind in HEADS and getattr(maker.op, "beta", 1.0) == 1.0 else name


def has_classes(graph: Graph, labelled: bool) -> bool:
    """Whether the one output of ``graph`` tells classes apart along its last axis: it ends in a softmax, or is (N, C) and ``labelled``."""
    output = graph.value(graph.outputs[0])
    if len(graph.outputs) > 1 or (output.shape[-1] or 1) < 2:
        return False
    return before_softmax(graph, output.name) != output.name or (labelled and output.rank == 2)


def _dropped(graph: Graph, index: int) -> tuple[str, ...]:
    """Values that node ``index`` is the last to read."""
    later = {name for node in graph.nodes[index + 1:] for name in node.inputs}
    return tuple(name for name in dict.fromkeys(graph.nodes[index].inputs) if name not in later and name not in graph.kept)


def _codes(array: NDArray[np.generic], codebook: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Centroids (rows, values), and for every weight the index of its own among all of them, flat."""
    rows = np.asarray(codebook, np.float32).reshape(-1, codebook.shape[-1]).copy()
    flat = np.asarray(array, np.float32).reshape(len(rows), -1)
    near = np.stack([np.abs(weights[:, None] - row).argmin(1) for weights, row in zip(flat, rows)])
    near += np.arange(len(rows))[:, None] * rows.shape[1]
    return rows, near.reshape(array.shape).astype(np.int64)
