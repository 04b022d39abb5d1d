"""The receipt: for every layer what was asked, what was got, and why; nothing falls back in silence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel

from edgewright.emit.c.layer import Call, Table
from edgewright.emit.c.library import kernel_folder
from edgewright.emit.c.predict import layer_calls
from edgewright.ir.graph import Graph, Node, Structure, Value
from edgewright.lower.program import Program
from edgewright.passes.registry import PASSES, Line
from edgewright.recipe import RECIPES, Recipe
from edgewright.run.vela import VelaReport
from edgewright.targets.target import Target

UNEXPLAINED = "no technique said why: please report it"
CLEAN = frozenset(step.name for step in RECIPES["clean"].steps)
"""Passes that run whether there is something to do or not."""


class Item(BaseModel, frozen=True):
    """One thing that was asked of a layer: "weights", "activations", "sparsity", "codebook", "storage" in C, "kernel". ``kept``: whether it
    was got; if not, ``why`` says what came in between."""

    aspect: str
    asked: str
    got: str
    kept: bool
    why: str = ""


class LayerReceipt(BaseModel, frozen=True):
    """One layer. ``told``: what techniques said of it."""

    layer: str
    kind: str
    items: list[Item]
    told: list[str]


class StepReceipt(BaseModel, frozen=True):
    """One step of the recipe: how many lines it did and skipped; ``note`` where it found nothing to do."""

    step: str
    did: int
    skipped: int
    note: str = ""


class Receipt(BaseModel, frozen=True):
    """Every layer that runs, and every step of the recipe beside the clean-up."""

    layers: list[LayerReceipt]
    steps: list[StepReceipt]

    def broken(self) -> list[tuple[str, Item]]:
        """Layer and item of all that was not got."""
        return [(entry.layer, item) for entry in self.layers for item in entry.items if not item.kept]


def make_receipt(
    final: Graph, target: Target, recipe: Recipe, lines: Sequence[Line], program: Program | None = None, npu: VelaReport | None = None
) -> Receipt:
    """The receipt of ``final``, made by ``recipe``. ``program``: what the target's C kernels run; ``npu``: what an accelerator takes."""
    graph = final if program is None else program.executed
    calls: Sequence[Sequence[Call] | None] = [None] * len(graph.nodes)
    if program is not None and "c" in target.runtimes:
        calls = layer_calls(program)
    asked = _Asked(recipe)
    layers = []
    for node, its in zip(graph.nodes, calls, strict=True):
        told = _told(graph, node, lines)
        # What is written as it is keeps its structure in the graph before tiling, whose constants have the same names.
        whole = final if all(name in final.values for name in node.inputs) else graph
        items = [*_weights(whole, node, asked, told), *_activations(graph, node, asked, told), *_structures(whole, node, its, target)]
        items += _storage(whole, node, its, target) + _kernel(node, its, target, npu)
        layers.append(LayerReceipt(layer=node.name, kind=node.op.kind, items=items, told=told))
    return Receipt(layers=layers, steps=_steps(recipe, lines))


class _Asked:
    """What ``recipe`` asks of all layers: bits of weights and activations, None where it leaves them alone. ``chosen``, ``mixed``: a pass
    chooses those of weights, and of activations, layer by layer."""

    def __init__(self, recipe: Recipe) -> None:
        self.weights: str | None = None
        self.activations: str | None = None
        self.chosen = False
        self.mixed = False
        for step in recipe.steps:
            entry = PASSES.get(step.name)
            if step.name == "quantize_float16":
                self.weights = "float16"
            elif step.name == "quantize_dynamic":
                self.weights = "int8"
            for option, field in (("weight_bits", "weights"), ("activation_bits", "activations")):
                parameter = None if entry is None else entry.parameters.get(option)
                bits = step.options.get(option, None if parameter is None else parameter.default)
                if isinstance(bits, int) and bits > 0:
                    setattr(self, field, f"int{bits}")
            self.chosen = self.chosen or step.name in ("choose_bits", "quantize_mixed")
            self.mixed = self.mixed or step.name == "quantize_mixed"


def _told(graph: Graph, node: Node, lines: Iterable[Line]) -> list[str]:
    names = {node.name, *node.inputs, *node.outputs}
    return list(dict.fromkeys(f"{line.technique} {line.action}: {line.detail}" for line in lines if line.where in names))


def _skips(told: Sequence[str]) -> str:
    return "; ".join(text for text in told if " skipped: " in text)


def _type(value: Value) -> str:
    return (value.dtype if value.quant is None else value.quant.dtype).value


def _weights(graph: Graph, node: Node, asked: _Asked, told: Sequence[str]) -> list[Item]:
    found = []
    for index in node.op.weight_inputs:
        name = node.inputs[index]
        if name not in graph.constants:
            found.append(Item(aspect="weights", asked=asked.weights or "", got="computed at run time", kept=True))
            continue
        got, structure = _type(graph.value(name)), graph.constants[name].structure
        own = structure.bits if structure is not None and asked.chosen else None
        wanted = f"int{own}" if own else asked.weights or got
        if structure is not None and structure.group is not None:
            grouped = f"int4 times a factor for each {structure.group}, in int8"
            why = "a byte each in .tflite and C, which have no kernel for scales by group; four bits in ONNX"
            found.append(Item(aspect="weights", asked=wanted, got=grouped, kept=True, why=why))
            continue
        why = "" if wanted == got else _skips(told) or UNEXPLAINED
        found.append(Item(aspect="weights", asked=wanted, got=got, kept=wanted == got, why=why))
    return found


def _activations(graph: Graph, node: Node, asked: _Asked, told: Sequence[str]) -> list[Item]:
    """Of what a layer with weights reads; other operators take what these leave them."""
    wanted = asked.activations
    if asked.mixed:
        wanted = "int16" if any("activations of 16" in text for text in told) else "int8"
    if not node.op.weight_inputs or wanted is None:
        return []
    name = node.inputs[0]
    got = _type(graph.value(name))
    if got == wanted:
        return [Item(aspect="activations", asked=wanted, got=got, kept=True)]
    why = _skips(told)
    if not why and got == "int8":
        why = "what the network is given, what its last layer reads, and what shares a grid with them keeps 8 bits"
    return [Item(aspect="activations", asked=wanted, got=got, kept=False, why=why or UNEXPLAINED)]


def _structures(graph: Graph, node: Node, calls: Sequence[Call] | None, target: Target) -> list[Item]:
    """Masks, patterns and codebooks of the weights: whether the numbers hold them, and whether C gains by them."""
    found: list[Item] = []
    for index in node.op.weight_inputs:
        name = node.inputs[index]
        held = graph.constants.get(name)
        if held is None or held.structure is None:
            continue
        found += _zeros(held.array, held.structure) + _values(held.array, held.structure)
        if calls is None or (held.structure.mask is None and held.structure.pattern is None and held.structure.codebook is None):
            continue
        size, whole = _stored(calls), graph.value(name).bytes
        if size is not None:
            kept = size < whole
            why = "" if kept else f"the C kernels of {', '.join(target.kernels)} that this layer calls read every weight"
            found.append(Item(aspect="storage", asked=f"fewer than {whole:,} B", got=f"{size:,} B", kept=kept, why=why))
    return found


def _zeros(array: np.ndarray, structure: Structure) -> list[Item]:
    found = []
    if structure.mask is not None:
        asked, got = 1 - float(structure.mask.mean()), float(np.mean(array == 0))
        kept = not np.any(array[~structure.mask])
        why = "" if kept else "a later technique put numbers where the mask has none"
        found.append(Item(aspect="sparsity", asked=f"{100 * asked:.1f} % zeros", got=f"{100 * got:.1f} % zeros", kept=kept, why=why))
    if structure.pattern is not None:
        most, of = structure.pattern
        size = array.shape[-1]
        padded = np.zeros((*array.shape[:-1], -(-size // of) * of), bool)
        padded[..., :size] = array != 0
        worst = int(padded.reshape(-1, of).sum(1).max(initial=0))
        why = "" if worst <= most else "a later technique put numbers where the pattern has none"
        found.append(Item(aspect="sparsity", asked=f"{most}:{of}", got=f"{worst}:{of}", kept=worst <= most, why=why))
    return found


def _values(array: np.ndarray, structure: Structure) -> list[Item]:
    if structure.codebook is None:
        return []
    asked = int(structure.codebook.shape[-1])
    rows = array.reshape(len(array), -1) if structure.codebook.ndim > 1 else array.reshape(1, -1)
    got = max((len(np.unique(row)) for row in rows), default=0)
    why = "" if got <= asked else "a later technique changed the weights"
    return [Item(aspect="codebook", asked=f"{asked} values", got=f"{got} values", kept=got <= asked, why=why)]


def _stored(calls: Sequence[Call]) -> int | None:
    """Bytes of the tables of weights that ``calls`` read; None where there are none."""
    tables = [found for call in calls for found in (*call.parameters.values(), *call.arguments) if isinstance(found, Table)]
    sizes = [table.array.nbytes for table in tables if table.stem.startswith("weights")]
    return sum(sizes) if sizes else None


def _storage(graph: Graph, node: Node, calls: Sequence[Call] | None, target: Target) -> list[Item]:
    """Whether narrow weights take as few bits in C as they have."""
    found = []
    for index in node.op.weight_inputs:
        name = node.inputs[index]
        value = graph.value(name)
        size = None if calls is None else _stored(calls)
        if size is None or name not in graph.constants or not value.dtype.is_integer or value.dtype.bits >= 8:
            continue
        bits = 8 * size / max(1, value.elements)
        kept = bits < (value.dtype.bits + 8) / 2
        why = "" if kept else f"the kernels of {', '.join(target.kernels)} that this layer calls read a byte a weight; files keep the bits"
        found.append(Item(aspect="storage", asked=f"{value.dtype.bits} bits a weight", got=f"{bits:.1f} bits", kept=kept, why=why))
    return found


def _kernel(node: Node, calls: Sequence[Call] | None, target: Target, npu: VelaReport | None) -> list[Item]:
    if npu is not None:
        left = [text for text in npu.on_cpu if node.name in text or any(name in text for name in node.outputs)]
        return [
            Item(aspect="kernel", asked=npu.accelerator, got="the CPU" if left else npu.accelerator, kept=not left, why="; ".join(left))
        ]
    if calls is None:
        return []
    best = target.kernels[0] if target.kernels else ""
    if not calls:
        return [Item(aspect="kernel", asked=best, got="none: its output is its input", kept=True)]
    names = list(dict.fromkeys(call.kernel for call in calls))
    folders = {name: kernel_folder(name, target.kernels) for name in names}
    got = ", ".join(f"{name} ({folder})" for name, folder in folders.items())
    behind = [name for name, folder in folders.items() if folder != best]
    why = f"there is no {' and no '.join(behind)} among the {best} kernels" if behind else ""
    return [Item(aspect="kernel", asked=best, got=got, kept=not behind, why=why)]


def _steps(recipe: Recipe, lines: Sequence[Line]) -> list[StepReceipt]:
    found = []
    for name in dict.fromkeys(step.name for step in recipe.steps if step.name not in CLEAN):
        did, skipped = (sum(line.technique == name and line.action == action for line in lines) for action in ("did", "skipped"))
        note = "" if did or skipped else "found nothing to do"
        found.append(StepReceipt(step=name, did=did, skipped=skipped, note=note))
    return found


def receipt_rows(receipt: Receipt) -> list[tuple[str, str, str, str]]:
    """(layer, asked, got, why) of every layer, items one after the other; an exclamation mark where something was not got."""
    rows = []
    for entry in receipt.layers:
        asked = "; ".join(f"{item.aspect} {item.asked}" for item in entry.items)
        got = "; ".join(f"{'' if item.kept else '! '}{item.got}" for item in entry.items)
        why = "; ".join(dict.fromkeys(item.why for item in entry.items if item.why))
        rows.append((entry.layer, asked, got, why))
    return rows


def step_rows(receipt: Receipt) -> list[tuple[str, str, str, str]]:
    """(step, lines done, lines skipped, note)."""
    return [(entry.step, str(entry.did), str(entry.skipped), entry.note) for entry in receipt.steps]
