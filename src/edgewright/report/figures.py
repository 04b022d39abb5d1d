"""The figures of a report in words and units, as the terminal and the page show them."""

from __future__ import annotations

from edgewright.report.ledger import Ledger
from edgewright.report.report import PeerComparison, Report

Row = tuple[str, str]


def headline(report: Report) -> list[Row]:
    """The figures that come first: label and text."""
    return [*_quality(report), *_npu(report), *_memory(report), *_speed(report)]


def _quality(report: Report) -> list[Row]:
    rows: list[Row] = []
    accuracy = report.accuracy
    if accuracy is not None and accuracy.accuracy_after is not None:
        rows.append((f"accuracy on {accuracy.samples:,} {accuracy.samples_from} samples", percent(accuracy.accuracy_after)))
    elif accuracy is not None and accuracy.agreement is not None:
        rows.append((f"same answer as before, {accuracy.samples:,} {accuracy.samples_from} samples", percent(accuracy.agreement)))
    elif accuracy is not None and accuracy.error_after is not None:
        rows.append((f"mean absolute error on {accuracy.samples:,} {accuracy.samples_from} samples", f"{accuracy.error_after:.4g}"))
    measured = report.measured
    if measured is not None and measured.equal_to_evaluation is not None:
        count = f"{measured.inferences} inference{'s' if measured.inferences != 1 else ''}"
        rows.append(
            (f"on {measured.where}, {count}", "same bytes as evaluated" if measured.equal_to_evaluation else "OTHER BYTES than evaluated")
        )
    return rows


def _memory(report: Report) -> list[Row]:
    measured, device = report.measured, report.device
    board = device.kind == "board"
    rows: list[Row] = []
    if report.memory is not None:
        rows.append(("arena", f"{report.memory.arena_bytes:,} B"))
        rows += [(f"  in {part.region}", part.text()) for part in report.memory.parts]
    if measured is not None and measured.peak_stack_bytes is not None:
        rows.append(("peak stack", f"{measured.peak_stack_bytes:,} B"))
    if measured is not None and measured.ram_bytes is not None:
        rows.append(("RAM in all", f"{measured.ram_bytes:,} B{_share(measured.ram_bytes, device.ram_bytes if board else None)}"))
    rows.append(("weights", f"{report.after.weight_bytes:,} B"))
    if measured is not None and measured.flash_bytes is not None:
        rows.append(("flash in all", f"{measured.flash_bytes:,} B{_share(measured.flash_bytes, device.flash_bytes if board else None)}"))
    return rows


def _speed(report: Report) -> list[Row]:
    measured = report.measured
    rows = _predicted(report)
    if measured is None:
        return rows
    if measured.instructions_per_inference is not None:
        rows.append(("instructions an inference", f"{measured.instructions_per_inference:,}"))
    if measured.cycles_modelled is not None:
        rows.append(("cycles, modelled", _cycles(measured.cycles_modelled, measured.cycles_range)))
    if measured.latency_modelled_ms is not None:
        rows.append(("latency, modelled", f"{measured.latency_modelled_ms:.2f} ms"))
    if measured.energy_modelled_uj is not None:
        rows.append(("energy, modelled", _energy(measured.energy_modelled_uj, measured.energy_range_uj)))
    rows += [(f"bytes moved, {name}", _moved(sizes)) for name, sizes in measured.moved.items() if any(sizes)]
    return rows


def budget_rows(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Limit, the most, what was got, whether that is met, and where the figure comes from."""
    rows = []
    for limit in report.budget:
        got = "unknown" if limit.got is None else f"{limit.got:,.6g}"
        rows.append((limit.name, f"{limit.most:,.6g}", got, "yes" if limit.met else "NO", limit.basis))
    return rows


def _energy(likely: float, span: tuple[float, float] | None) -> str:
    return f"{likely:,.1f} µJ ({'no error bar' if span is None else f'{span[0]:,.1f} to {span[1]:,.1f}'})"


def _cycles(likely: int, span: tuple[int, int] | None) -> str:
    return f"{likely:,} ({'no error bar' if span is None else f'{span[0]:,} to {span[1]:,}'})"


def _moved(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]:,} read" + (f", {sizes[1]:,} written" if sizes[1] else "")


def _predicted(report: Report) -> list[Row]:
    """What the cost model says, and by how much it was off where instructions were counted."""
    predicted, measured = report.predicted, report.measured
    if predicted is None:
        return []
    counted = None if measured is None else measured.instructions_per_inference
    rows: list[Row] = []
    if predicted.instructions is None:
        return [("instructions, predicted", f"unknown: {predicted.unknown}")]
    off = "" if not counted else f", {100 * (predicted.instructions / counted - 1):+.1f} % of what was counted"
    old = f"; {', '.join(predicted.stale)} changed since they were fitted" if predicted.stale else ""
    rows.append(("instructions, predicted", f"{predicted.instructions:,} ± {100 * (predicted.error or 0):.1f} %{off}{old}"))
    if predicted.cycles is not None:
        rows.append(("cycles, predicted", _cycles(predicted.cycles, predicted.cycles_range)))
    if predicted.latency_ms is not None:
        rows.append(("latency, predicted", f"{predicted.latency_ms:.2f} ms"))
    if predicted.energy_uj is not None:
        least, likely, most = predicted.energy_uj
        rows.append(("energy, predicted", _energy(likely or 0.0, None if least is None or most is None else (least, most))))
    rows += [(f"bytes moved, {name}, predicted", _moved(sizes)) for name, sizes in predicted.moved.items() if any(sizes)]
    return rows


def _npu(report: Report) -> list[Row]:
    npu = report.npu
    if npu is None:
        return []
    whole = npu.npu_operators + npu.cpu_operators
    return [
        (f"operators on {npu.accelerator}", f"{npu.npu_operators:,} of {whole:,}"),
        ("cycles there, modelled", f"{npu.cycles:,}"),
        ("latency there, modelled", f"{npu.latency_ms:.2f} ms"),
        ("SRAM there", f"{npu.sram_bytes:,} B"),
        ("flash there", f"{npu.flash_bytes:,} B"),
    ]


def ledger_rows(ledger: Ledger) -> list[tuple[str, str, str, str, str, str]]:
    """(memory, what, predicted, found, difference, basis) line by line, sums at the ends; a question mark where something is unknown."""
    rows: list[tuple[str, str, str, str, str, str]] = []
    for memory, limit in ledger.limits.items():
        title = "RAM" if memory == "ram" else memory
        for entry in (entry for entry in ledger.entries if entry.memory == memory):
            rows.append((title, entry.name, *_compared(entry.predicted, entry.found), entry.basis))
            if entry.name in ("arena", "stack"):
                parts = [part for part in ledger.parts if (part.within, part.memory) == (entry.name, memory) and part.size_bytes]
                rows += [(title, f"  of which {part.name}", f"{part.size_bytes:,}", "", "", "the program") for part in parts]
        sums = _compared(ledger.predicted_bytes(memory), ledger.found_bytes(memory))
        rows.append((title, "in all", *sums, "" if limit is None else f"of {limit:,}"))
    return rows


def _compared(predicted: int | None, found: int | None) -> tuple[str, str, str]:
    difference = "" if predicted is None or found is None else f"{found - predicted:+,}" if found != predicted else "0"
    return "?" if predicted is None else f"{predicted:,}", "" if found is None else f"{found:,}", difference


def peer_rows(comparison: PeerComparison) -> list[tuple[str, str, str, str]]:
    """(figure, ours, theirs, ratio)."""
    return [(row.figure, f"{row.ours:,}", f"{row.theirs:,}", "" if row.ratio is None else f"{row.ratio:.3f}") for row in comparison.rows]


def changes(report: Report) -> list[tuple[str, str, str]]:
    """(label, before, after) of what the optimization changed."""
    before, after, accuracy = report.before, report.after, report.accuracy
    rows = [
        ("operators", f"{before.nodes:,}", f"{after.nodes:,}"),
        ("multiply-accumulates", f"{before.macs:,}", f"{after.macs:,}"),
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("weight bytes", f"{before.weight_bytes:,}", f"{after.weight_bytes:,}"),
        ("constants, entropy coded", f"{before.coded_bytes:,}", f"{after.coded_bytes:,}"),
    ]
    if accuracy is None:
        return rows
    samples = f"{accuracy.samples:,} {accuracy.samples_from} samples"
    if accuracy.accuracy_before is not None and accuracy.accuracy_after is not None:
        rows.append((f"accuracy on {samples}", percent(accuracy.accuracy_before), percent(accuracy.accuracy_after)))
    if accuracy.change is not None:
        low, high = (100 * end for end in accuracy.change.interval)
        rows.append((f"its change, points: {accuracy.change.text}", "", f"{low:+.2f} to {high:+.2f}"))
    if accuracy.error_before is not None and accuracy.error_after is not None:
        rows.append((f"mean absolute error on {samples}", f"{accuracy.error_before:.4g}", f"{accuracy.error_after:.4g}"))
    if accuracy.r2_before is not None and accuracy.r2_after is not None:
        rows.append((f"R² on {samples}", f"{accuracy.r2_before:.4f}", f"{accuracy.r2_after:.4f}"))
    if accuracy.agreement is not None:
        rows.append((f"same answer as before on {samples}", "", percent(accuracy.agreement)))
    if accuracy.signal_to_noise_db is not None:
        rows.append((f"output's signal to noise on {samples}", "", f"{accuracy.signal_to_noise_db:.1f} dB"))
    return rows


def percent(share: float) -> str:
    """A share of 1 as text."""
    return f"{100 * share:.2f} %"


def _share(size: int, of: int | None) -> str:
    return "" if of is None else f" of {of:,} ({100 * size / of:.0f} %)"
