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
from pathlib import Path
from typing import Any

import edgewright.ops
import edgewright.passes
from edgewright.ir.operator import Operator
from edgewright.passes.registry import PASSES
from edgewright.targets.target import list_targets, load_target

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
            f"*{count} {'input' if count == '1' else 'inputs'}; {'float and integer' if integers else 'float only'}*",
            "",
            inspect.getdoc(kind) or "",
            "",
        ]
        parameters = list(inspect.signature(kind).parameters.values())
        if parameters:
            lines += ["| attribute | type | default |", "|---|---|---|", *map(_option_row, parameters), ""]
    return "\n".join(lines)


def targets_page() -> str:
    """Every built-in target: an overview by kind, then where the figures of each come from."""
    lines = ["# Targets", "", "A target is a TOML file; `--target` takes a name below or the path of a file of your own.", ""]
    targets = [load_target(name) for name in list_targets()]
    for kind in dict.fromkeys(target.kind for target in targets):
        lines += [
            f"## {kind.capitalize()}",
            "",
            "| name | device | flash | RAM | C kernels | runs the files | measured on |",
            "|---|---|---|---|---|---|---|",
        ]
        for target in (target for target in targets if target.kind == kind):
            machine = target.qemu.name if target.qemu else target.linux.qemu_cpu if target.linux else None
            emulator = f"QEMU {machine}" if machine else "this machine" if kind == "host" else "–"
            cells = (
                target.title,
                _size(target.flash_bytes),
                _size(target.ram_bytes),
                ", ".join(target.kernels),
                ", ".join(target.runtimes),
                emulator,
            )
            lines += [f"| `{target.name}` | {' | '.join(map(_cell, cells))} |"]
        lines += [""]
    lines += ["## Sources", "", "| target | figures | where they come from |", "|---|---|---|"]
    for target in targets:
        sources = (
            ("memories", target.memory_source),
            ("emulation", target.qemu.note if target.qemu else ""),
            ("cycles (modelled)", target.cycles.source if target.cycles else ""),
            ("energy (modelled)", target.energy.source if target.energy else ""),
        )
        lines += [f"| `{target.name}` | {what} | {_cell(source)} |" for what, source in sources if source]
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


def _size(count: int | None) -> str:
    return "–" if count is None else f"{count:,} B"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


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
