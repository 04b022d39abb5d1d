"""`edgewright passes`: the techniques, their options, and the named recipes."""

from __future__ import annotations

import inspect

from edgewright.passes import load_passes
from edgewright.recipe import RECIPES
from edgewright.report.table import columns, render
from edgewright.verbs.result import Result


def passes() -> Result:
    """Everything in the registry."""
    found = sorted(load_passes().values(), key=lambda entry: (entry.group, entry.name))
    rows, lines = {}, []
    for entry in found:
        options = {
            name: None if parameter.default is inspect.Parameter.empty else parameter.default
            for name, parameter in entry.parameters.items()
        }
        rows[entry.name] = {
            "group": entry.group,
            "level": entry.level,
            "exact": entry.exact,
            "needs_data": entry.needs_data,
            "summary": entry.summary,
            "options": options,
        }
        chosen = ", ".join(f"{name}={value}" for name, value in options.items())
        lines.append((entry.name, entry.group, entry.level, "yes" if entry.exact else "no", chosen, entry.summary))
    recipes = {name: {"summary": recipe.summary, "steps": [step.name for step in recipe.steps]} for name, recipe in RECIPES.items()}
    listed = [(name, recipe.summary, ", ".join(step.name for step in recipe.steps)) for name, recipe in RECIPES.items()]
    tables = [
        columns(("pass", "group", "level", "exact", "options", "what it does"), lines),
        columns(("recipe", "what it gives", "steps"), listed),
    ]
    return Result({"passes": rows, "recipes": recipes}, render(tables))
