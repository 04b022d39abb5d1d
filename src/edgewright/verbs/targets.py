"""`edgewright targets`: the devices that are described."""

from __future__ import annotations

from edgewright.report.table import columns, render
from edgewright.targets.target import Target, list_targets, load_target
from edgewright.verbs.result import Result


def targets() -> Result:
    """Every built-in target with its memories."""
    found = [load_target(name) for name in list_targets()]
    rows = [(target.name, target.title, _limit(target.all_flash_bytes), _limit(target.all_ram_bytes), _how(target)) for target in found]
    table = columns(("target", "what", "flash", "RAM", "measured"), rows, numbers=(2, 3))
    return Result([target.model_dump(mode="json") for target in found], render([table]))


def _limit(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _how(target: Target) -> str:
    """Where `edgewright measure` runs for this target."""
    if target.qemu is not None:
        return f"under QEMU ({target.qemu.name})"
    if target.linux is not None:
        return f"under QEMU ({target.linux.qemu_cpu})"
    return "here" if "c" in target.runtimes else target.compiler.name if target.compiler is not None else ""
