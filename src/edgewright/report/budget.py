"""The budget held against what was got: limit by limit, with where each figure comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgewright.recipe import Budget
from edgewright.report.ledger import Ledger
from edgewright.report.report import Limit, Report
from edgewright.targets.target import Target

Found = tuple[float | None, str]
"""A figure, and where it comes from; or None, and why there is none."""
UNITS = {"ram_bytes": "B of RAM", "flash_bytes": "B of flash", "latency_ms": "ms", "energy_mj": "mJ", "accuracy_drop": "of accuracy lost"}


def hold_against(budget: Budget, report: Report, target: Target) -> list[Limit]:
    """One entry for each limit that is set. What nobody knows is not met."""
    figures: Mapping[str, Callable[[], Found]] = {
        "ram_bytes": lambda: _memory(report, target.memories("ram"), "sram_bytes"),
        "flash_bytes": lambda: _memory(report, target.memories("flash"), "flash_bytes"),
        "latency_ms": lambda: _latency(report),
        "energy_mj": lambda: _energy(report),
        "accuracy_drop": lambda: _drop(report),
    }
    found = []
    for name, most in budget.limits().items():
        got, basis = figures[name]()
        found.append(Limit(name=name, most=most, got=got, met=got is not None and got <= most, basis=basis))
    return found


def missed(limits: Sequence[Limit]) -> str:
    """What is not met, in one line; empty where all is."""
    parts = []
    for limit in limits:
        if not limit.met:
            over = limit.basis if limit.got is None else f"{limit.got:,.6g} against {limit.most:,.6g} {UNITS[limit.name]}"
            parts.append(f"{limit.name} ({over})")
    return f"the budget is missed: {', '.join(parts)}" if parts else ""


def _sum(ledger: Ledger, memories: Sequence[str]) -> Found:
    for what, size_of in (("linker and painted stack", ledger.found_bytes), ("predicted before the build", ledger.predicted_bytes)):
        if (size := size_of(*memories)) is not None:
            return float(size), what
    return None, "unknown without a compiler for the target"


def _memory(report: Report, memories: Sequence[str], on_accelerator: str) -> Found:
    if report.npu is not None:
        return float(getattr(report.npu, on_accelerator)), f"{report.npu.accelerator}'s compiler"
    return (None, "no C is made of this network") if report.ledger is None else _sum(report.ledger, memories)


def _latency(report: Report) -> Found:
    if report.npu is not None:
        return report.npu.latency_ms, f"{report.npu.accelerator}'s compiler"
    if report.measured is not None and report.measured.latency_modelled_ms is not None:
        return report.measured.latency_modelled_ms, "modelled from counted instructions"
    if report.predicted is not None and report.predicted.latency_ms is not None:
        return report.predicted.latency_ms, "predicted"
    return None, "the target names no clock, or its core has no model of cycles"


def _energy(report: Report) -> Found:
    if report.measured is not None and report.measured.energy_modelled_uj is not None:
        return report.measured.energy_modelled_uj / 1000, "modelled from counted instructions"
    if report.predicted is not None and report.predicted.energy_uj is not None and report.predicted.energy_uj[1] is not None:
        return report.predicted.energy_uj[1] / 1000, "predicted"
    return None, "the target has no coefficient of energy"


def _drop(report: Report) -> Found:
    accuracy = report.accuracy
    if accuracy is None or accuracy.accuracy_before is None or accuracy.accuracy_after is None:
        return None, "no samples with labels were given"
    basis = f"{accuracy.samples:,} {accuracy.samples_from} samples"
    return accuracy.accuracy_before - accuracy.accuracy_after, basis if accuracy.change is None else f"{basis}: {accuracy.change.text}"
