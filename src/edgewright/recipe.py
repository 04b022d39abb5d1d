"""Recipe and Budget: which passes run in which order, and what the result may cost. TOML in and out; the named recipes in one table.

This room stands left of the passes: here a step is a name and plain options. Whether a pass of that name exists, and takes those options,
is checked where the registry is in sight, by :func:`edgewright.passes.check_recipe`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgewright.errors import RecipeError

Option = bool | int | float | str
EXAMPLE = 'for example: steps = ["clean", { pass = "quantize_static", options = { ranges = "mse" } }] and [budget] with ram_bytes = 65536'
"""What a recipe in TOML looks like, as a hint."""

CLEAN = (
    "fold_constants",
    "remove_identities",
    "specialize_convolutions",
    "cancel_transposes",
    "merge_reshapes",
    "fold_transposes",
    "fold_layer_norm",
    "fold_batchnorm",
    "fold_scalars",
    "replace_batchnorm",
    "fold_padding",
    "fold_activations",
    "remove_dead_channels",
    "share_nodes",
    "share_constants",
)
"""The exact passes in the order in which they serve each other; repeated until none changes anything."""


@dataclass(frozen=True)
class Step:
    """One pass with its options. Neighbouring steps with ``repeat`` form a block that runs again until it changes nothing."""

    name: str
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    repeat: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise RecipeError(f"{self.name!r} is not the name of a pass", hint="`edgewright passes` lists them")
        if not isinstance(self.options, Mapping):
            raise RecipeError(f"the options of step {self.name!r} must be a table of names and values", hint=EXAMPLE)
        if not isinstance(self.repeat, bool):
            raise RecipeError(f"repeat of step {self.name!r} must be true or false", hint=EXAMPLE)
        for option, value in self.options.items():
            if not isinstance(value, (bool, int, float, str)) or (isinstance(value, float) and not math.isfinite(value)):
                kinds = "a number, a string, true or false"
                raise RecipeError(f"option {option!r} of step {self.name!r} must be {kinds}, got {value!r}", hint=EXAMPLE)
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.options.items())), self.repeat))


@dataclass(frozen=True)
class Recipe:
    """Steps under a name."""

    name: str
    steps: tuple[Step, ...]
    summary: str = ""

    def blocks(self) -> Iterator[tuple[Step, ...]]:
        """Steps in order: each alone, but neighbours with ``repeat`` together, to be run until they change nothing."""
        block: list[Step] = []
        for step in self.steps:
            if step.repeat:
                block.append(step)
                continue
            if block:
                yield tuple(block)
                block = []
            yield (step,)
        if block:
            yield tuple(block)

    def with_options(self, name: str, **options: Option) -> Recipe:
        """This recipe with ``options`` set in every step ``name``; RecipeError where there is none."""
        if all(step.name != name for step in self.steps):
            raise _unknown(f"recipe {self.name!r} has no step", name, [step.name for step in self.steps])
        return dataclasses.replace(self, steps=tuple(
            dataclasses.replace(step, options={**step.options, **options}) if step.name == name else step for step in self.steps))


@dataclass(frozen=True)
class Budget:
    """What the network may cost on the device; None where it does not matter. ``accuracy_drop``: a share of 1, against the source."""

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_ms: float | None = None
    energy_mj: float | None = None
    accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.limits().items():
            whole = name.endswith("_bytes")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not math.isfinite(value) or value < 0:
                raise RecipeError(f"budget {name} must be a {'whole ' if whole else ''}number of at least 0, got {value!r}", hint=EXAMPLE)
        if self.accuracy_drop is not None and self.accuracy_drop > 1:
            raise RecipeError(f"budget accuracy_drop is a share of 1, got {self.accuracy_drop}", hint="0.01 is one percentage point")

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def _repeated(names: Sequence[str]) -> tuple[Step, ...]:
    return tuple(Step(name, repeat=True) for name in names)


def _named(*recipes: Recipe) -> Mapping[str, Recipe]:
    return MappingProxyType({recipe.name: recipe for recipe in recipes})


_START = (Step("dequantize_weights"), *_repeated(CLEAN))


def _rounded(weights: int, activations: int) -> Recipe:
    """The recipe that rounds weights by what the layers give: the one to take where the nearest integers cost accuracy."""
    ranges = "mse" if activations < 8 else "minmax"
    options: dict[str, Option] = {"ranges": ranges, "weight_bits": weights, "activation_bits": activations, "weight_ranges": "mse"}
    name = f"w{weights}a{activations}" + ("-rounded" if (weights, activations) == (8, 8) else "")
    summary = f"int{weights} weights rounded by the layers' outputs, int{activations} activations, calibrated on data"
    return Recipe(name, (*_START, Step("quantize_static", options), Step("round_weights")), summary)


def _blocks(weights: int, activations: int) -> Recipe:
    """The recipe that learns rounding and step sizes block by block: minutes where :func:`_rounded` takes seconds."""
    base = _rounded(weights, activations)
    steps = tuple(Step("reconstruct_blocks") if step.name == "round_weights" else step for step in base.steps)
    summary = f"int{weights} weights, int{activations} activations, rounding and step sizes learned block by block on data"
    return Recipe(f"{base.name}-blocks", steps, summary)


def _wide(weights: int) -> Recipe:
    """int16 activations, as TensorFlow Lite's 16x8 quantization has them: for what loses accuracy with int8 ones."""
    options: dict[str, Option] = {"weight_bits": weights, "activation_bits": 16, "weight_ranges": "minmax" if weights >= 8 else "mse"}
    rounded = (Step("round_weights"),) if weights < 8 else ()
    only = "; for C alone, .tflite has no such weights" if weights > 8 else ""
    summary = f"int{weights} weights, int16 activations, calibrated on data{only}"
    return Recipe(f"w{weights}a16", (*_START, Step("quantize_static", options), *rounded), summary)


def _mixed() -> Recipe:
    """Bits by layer: the budget is a share of int8's bytes."""
    options: dict[str, Option] = {"ranges": "minmax", "weight_ranges": "mse"}
    summary = "int2, int4 or int8 weights, chosen layer by layer for 60 % of int8's bytes, int8 activations"
    return Recipe("mixed", (*_START, Step("choose_bits"), Step("quantize_static", options), Step("round_weights")), summary)


def _mixed_activations() -> Recipe:
    """int16 activations for a few layers: the budget is time."""
    summary = "int8 weights, int8 activations but int16 in the layers where that gains most, within 1.25 times the time of int8"
    options: dict[str, Option] = {"widths": "8", "slowdown": 1.25}
    return Recipe("mixed-activations", (*_START, Step("quantize_mixed", options), Step("round_weights")), summary)


def _trained(weights: int) -> Recipe:
    """The recipe that trains the quantized network through the device's arithmetic."""
    name, summary = f"w{weights}a8", f"int{weights} weights, int8 activations"
    options: dict[str, Option] = {"weight_bits": weights, "weight_ranges": "minmax" if weights == 8 else "mse"}
    rounding: dict[str, Option] = {}
    if weights == 2:
        options["edge_bits"], rounding["levels"] = 8, "quaternary"
        summary = "weights of two bits, int8 in the first, the last and depthwise layers, int8 activations"
    rounded = (Step("round_weights", rounding),) if weights < 8 else ()
    training = Step("train_quantized", {"learned_steps": "none" if weights == 8 else "weights"})
    steps = (*_START, Step("quantize_static", options), *rounded, training)
    return Recipe(f"{name}-qat", steps, f"{summary}, then training through the device's own arithmetic")


def _levels(levels: str, trained: bool) -> Recipe:
    """The recipe that leaves two or three values a channel to all weights but those of the first, the last and depthwise layers."""
    options: dict[str, Option] = {"weight_bits": 2, "weight_ranges": "mse", "edge_bits": 8}
    steps = (*_START, Step("quantize_static", options), Step("round_weights", {"levels": levels}))
    summary = f"{levels} weights, int8 in the first, the last and depthwise layers, int8 activations"
    if not trained:
        return Recipe(f"{levels}-a8", steps, f"{summary}, rounded by the layers' outputs")
    training = Step("train_quantized", {"learned_steps": "weights", "epochs": 5})
    return Recipe(f"{levels}-a8-qat", (*steps, training), f"{summary}, then training through the device's own arithmetic")


def _pruned(name: str, shares: Sequence[float], then: tuple[Step, ...], summary: str) -> Recipe:
    """Channels pruned to one of ``shares`` of what is left after another; the network learns from what it was after each."""
    steps: list[Step] = []
    for share in shares:
        steps += [Step("prune_channels", {"budget": share}), Step("insert_batchnorm")]
        steps += [Step("distill", {"learning_rate": 0.004, "augment": "flip,shift", "epochs": 20}), *_repeated(CLEAN)]
    return Recipe(name, (*_START, *steps, *then), summary)


RECIPES: Mapping[str, Recipe] = _named(
    Recipe("clean", _repeated(CLEAN), "exact clean-up alone: the same outputs from fewer operators and channels"),
    Recipe("w8a8", (*_START, Step("quantize_static", {"ranges": "minmax"})), "int8 weights and activations, calibrated on data"),
    *(_rounded(weights, activations) for weights, activations in ((8, 8), (4, 8), (4, 4), (3, 8))),
    _blocks(4, 4),
    *(_wide(weights) for weights in (8, 4, 16)),
    _mixed(),
    _mixed_activations(),
    *(_trained(weights) for weights in (8, 4, 2)),
    *(_levels(levels, trained) for levels in ("ternary", "binary") for trained in (False, True)),
    _pruned("pruned50", (0.5,), (), "half of the multiply-accumulates: channels pruned, layers refitted, then distilled"),
    _pruned("pruned50-gradual", (0.8, 0.8, 0.78), (), "as pruned50, in three steps with training between"),
    _pruned("w8a8-pruned50", (0.5,), (Step("quantize_static"),), "as pruned50, then int8 weights and activations"),
    Recipe("float16", (*_START, Step("quantize_float16")), "weights in float16, arithmetic in float32"),
    Recipe("dynamic", (*_START, Step("quantize_dynamic")), "int8 weights, activations quantized at run time"),
)
"""The recipes that have a name."""


def load_recipe(source: str | Path) -> Recipe:
    """The recipe called ``source``, or the one in TOML file ``source``. RecipeError where there is neither."""
    if str(source) in RECIPES:
        return RECIPES[str(source)]
    if not str(source).endswith(".toml"):
        raise _unknown("there is no recipe", str(source), RECIPES)
    return parse_recipe(_read(source), name=Path(source).stem)


def load_budget(source: str | Path) -> Budget:
    """The table ``[budget]`` of TOML file ``source``; no limits where it has none."""
    return parse_budget(_read(source))


def parse_recipe(text: str, *, name: str = "recipe") -> Recipe:
    """A recipe from TOML: ``name``, ``summary`` and ``steps``.

    A step is a string (a named recipe, whose steps it stands for, or a pass) or a table with ``pass`` and perhaps ``options``, ``repeat``::

        steps = ["clean", { pass = "quantize_static", options = { ranges = "mse" } }]
    """
    table = _parse(text)
    _only(table, ("name", "summary", "steps", "budget"), "a recipe")
    steps = table.get("steps")
    if not isinstance(steps, list) or not steps:
        raise RecipeError("a recipe needs a list of steps", hint='for example steps = ["clean", "quantize_static"]')
    for key in ("name", "summary"):
        if not isinstance(table.get(key, ""), str):
            raise RecipeError(f"{key} of a recipe must be a string", hint=EXAMPLE)
    return Recipe(table.get("name", name), tuple(found for step in steps for found in _parse_step(step)), table.get("summary", ""))


def parse_budget(text: str) -> Budget:
    """The table ``[budget]`` of TOML ``text``."""
    table = _parse(text).get("budget", {})
    if not isinstance(table, dict):
        raise RecipeError("budget must be a table", hint=EXAMPLE)
    _only(table, [field.name for field in dataclasses.fields(Budget)], "a budget")
    return Budget(**table)


def read_budget(text: str) -> Budget:
    """A TOML file with a table ``[budget]``, or limits themselves: "ram_bytes=20000, latency_ms=10"."""
    if "=" not in text:
        return load_budget(text)
    return parse_budget("[budget]\n" + "\n".join(part.strip() for part in text.split(",")))


def format_recipe(recipe: Recipe, budget: Budget | None = None) -> str:
    """TOML that :func:`parse_recipe` (and :func:`parse_budget`) read back as the same."""
    lines = [f"name = {_toml(recipe.name)}", f"summary = {_toml(recipe.summary)}"]
    if budget is not None:
        lines += ["", "[budget]", *(f"{name} = {_toml(value)}" for name, value in budget.limits().items())]
    for step in recipe.steps:
        lines += ["", "[[steps]]", f"pass = {_toml(step.name)}"]
        lines += ["repeat = true"] if step.repeat else []
        if step.options:
            lines.append(f"options = {{ {', '.join(f'{_toml(key)} = {_toml(value)}' for key, value in step.options.items())} }}")
    return "\n".join(lines) + "\n"


def save_recipe(recipe: Recipe, path: str | Path, budget: Budget | None = None) -> Path:
    """Write :func:`format_recipe` to ``path``, whole or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(format_recipe(recipe, budget), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise RecipeError(f"cannot write {path}: {error.strerror}", hint="check the folder, its permissions and the free space") from error
    return path


def _read(source: str | Path) -> str:
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {source}: {error}", hint=f"give a TOML file, or one of {', '.join(RECIPES)}") from error


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"this is not TOML: {error}", hint=EXAMPLE) from error


def _parse_step(step: Any) -> tuple[Step, ...]:
    if isinstance(step, str):
        return RECIPES[step].steps if step in RECIPES else (Step(step),)
    if not isinstance(step, dict) or not isinstance(step.get("pass"), str):
        raise RecipeError(f"a step must be a name or a table with the key 'pass', got {step!r}", hint=EXAMPLE)
    _only(step, ("pass", "options", "repeat"), f"step {step['pass']!r}")
    return (Step(step["pass"], step.get("options", {}), step.get("repeat", False)),)


def _only(table: Mapping[str, Any], allowed: Sequence[str], what: str) -> None:
    for key in table:
        if key not in allowed:
            raise _unknown(f"{what} has no entry", key, allowed)


def _unknown(message: str, name: str, known: Any) -> RecipeError:
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, names, n=1)
    return RecipeError(f"{message} {name!r}", hint=f"did you mean {close[0]!r}?" if close else f"one of {', '.join(names)}")


def _toml(value: Option) -> str:
    """One TOML value; a JSON string is a TOML basic string once the one control character that JSON leaves bare is escaped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
