"""Writes the reference pages from the code: what is registered is what is documented.

python docs/generate.py            # writes docs/reference/*.md
python docs/generate.py --check    # writes nothing, exits 1 where a page is not what the code says
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import edgewright.ops
import edgewright.passes
import edgewright.targets
from edgewright.ir.operator import Operator
from edgewright.passes.registry import PASSES

REFERENCE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; change the code, then run `make docs`. -->\n"


def passes_page() -> str:
    """Every technique by group, with its options as its signature has them."""
    _import_all(edgewright.passes)
    lines = [
        "# Passes",
        "",
        "A recipe is a list of these, with options. An exact pass changes no output; the others say what they lose.",
        "",
    ]
    for group in sorted({entry.group for entry in PASSES.values()}):
        lines += [f"## {group}", ""]
        for entry in sorted((entry for entry in PASSES.values() if entry.group == group), key=lambda entry: entry.name):
            kind = "exact" if entry.exact else "lossy"
            lines += [f"### {entry.name}", "", f"*{kind}; takes a graph at level {entry.level.replace('|', ' or ')}*", ""]
            lines += [inspect.getdoc(entry.function) or "", ""]
            if entry.parameters:
                lines += ["| option | type | default |", "|---|---|---|"]
                lines += [_option_row(parameter) for parameter in entry.parameters.values()]
                lines += [""]
    return "\n".join(lines)


def operators_page() -> str:
    """Every operator of the Graph: attributes with their defaults, and what its file says."""
    _import_all(edgewright.ops)
    lines = ["# Operators", "", "Tensors are channels-last: NHWC, (N, C); weights have the output channel at axis 0.", ""]
    for name, kind in sorted(Operator.REGISTRY.items()):
        if not kind.__module__.startswith("edgewright.ops."):
            continue
        fewest, most = kind.inputs_range
        count = str(fewest) if fewest == most else f"{fewest} to {most}"
        integers = kind.evaluate_integer is not Operator.evaluate_integer
        lines += [
            f"## {name}",
            "",
            f"*{count} inputs; {'float and integer' if integers else 'float only'}*",
            "",
            inspect.getdoc(kind) or "",
            "",
        ]
        parameters = list(inspect.signature(kind).parameters.values())
        if parameters:
            lines += ["| attribute | type | default |", "|---|---|---|", *map(_option_row, parameters), ""]
    return "\n".join(lines)


def targets_page() -> str:
    """Every target as its TOML file describes it."""
    lines = ["# Targets", "", "A target is a TOML file; `--target` takes a name below or the path of a file of your own.", ""]
    for package in edgewright.targets.__path__:
        for path in sorted(Path(package).rglob("*.toml")):
            lines += [f"## {path.stem}", "", "| what | value |", "|---|---|"]
            lines += [f"| {key} | {_cell(value)} |" for key, value in _flat(tomllib.loads(path.read_text(encoding="utf-8")))]
            lines += [""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """File name → text of every reference page."""
    made = {"passes.md": passes_page(), "operators.md": operators_page(), "targets.md": targets_page()}
    return {name: f"{NOTE}\n{text.rstrip()}\n" for name, text in made.items()}


def _import_all(package: Any) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def _option_row(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation if isinstance(parameter.annotation, str) else inspect.formatannotation(parameter.annotation)
    default = "required" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`"
    return f"| {parameter.name} | `{_cell(annotation)}` | {_cell(default)} |"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                yield from _flat(item, f"{prefix}{key}[{item.get('name', index)}].")
        else:
            yield f"{prefix}{key}", value


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write the pages, or with --check say which are out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 where a page is out of date")
    options = parser.parse_args()
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not options.check:
                REFERENCE.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'out of date' if options.check else 'written'}: {', '.join(stale)}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
