"""The passes: one technique, one file, one function of the same name. This file finds them."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from typing import Any

from edgewright.errors import RecipeError
from edgewright.passes.registry import PASSES, Pass
from edgewright.recipe import Recipe


def load_passes() -> dict[str, Pass]:
    """Import every module below this folder, so that all techniques stand in :data:`PASSES`, and return it."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return PASSES


def find_pass(name: str) -> Pass:
    """The pass called ``name``; RecipeError with the nearest names where there is none."""
    passes = load_passes()
    if name not in passes:
        close = difflib.get_close_matches(name, passes, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"one of {', '.join(sorted(passes))}"
        raise RecipeError(f"there is no pass {name!r}", hint=hint)
    return passes[name]


def check_recipe(recipe: Recipe) -> Recipe:
    """``recipe`` itself; RecipeError where a step names no pass, or an option that its pass lacks or that has another type."""
    for step in recipe.steps:
        parameters = find_pass(step.name).parameters
        for option, value in step.options.items():
            if option not in parameters:
                close = difflib.get_close_matches(option, parameters, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"its options are {', '.join(parameters) or 'none'}"
                raise RecipeError(f"pass {step.name!r} has no option {option!r}", hint=hint)
            _check_type(step.name, parameters[option], value)
    return recipe


def _check_type(name: str, parameter: inspect.Parameter, value: Any) -> None:
    """The default tells the type; a whole number stands for a float."""
    default = parameter.default
    if default is inspect.Parameter.empty or default is None:
        return
    expected = type(default)
    fits = type(value) in (int, float) if expected is float else type(value) is expected
    if not fits:
        raise RecipeError(f"option {parameter.name!r} of pass {name!r} takes {expected.__name__}, got {value!r}",
                          hint=f"its default is {default!r}")
