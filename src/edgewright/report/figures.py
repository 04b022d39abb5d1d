"""The figures of a report in words and units, as the terminal and the page show them."""

from __future__ import annotations

from edgewright.report.report import Report

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
    if measured is None:
        return []
    rows: list[Row] = []
    if measured.instructions_per_inference is not None:
        rows.append(("instructions an inference", f"{measured.instructions_per_inference:,}"))
    if measured.cycles_modelled is not None:
        rows.append(("cycles, modelled", f"{measured.cycles_modelled:,}"))
    if measured.latency_modelled_ms is not None:
        rows.append(("latency, modelled", f"{measured.latency_modelled_ms:.2f} ms"))
    if measured.energy_modelled_uj is not None:
        rows.append(("energy, modelled", f"{measured.energy_modelled_uj:,.1f} µJ"))
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


def changes(report: Report) -> list[tuple[str, str, str]]:
    """(label, before, after) of what the optimization changed."""
    before, after, accuracy = report.before, report.after, report.accuracy
    rows = [
        ("operators", f"{before.nodes:,}", f"{after.nodes:,}"),
        ("multiply-accumulates", f"{before.macs:,}", f"{after.macs:,}"),
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("weight bytes", f"{before.weight_bytes:,}", f"{after.weight_bytes:,}"),
    ]
    if accuracy is None:
        return rows
    samples = f"{accuracy.samples:,} {accuracy.samples_from} samples"
    if accuracy.accuracy_before is not None and accuracy.accuracy_after is not None:
        rows.append((f"accuracy on {samples}", percent(accuracy.accuracy_before), percent(accuracy.accuracy_after)))
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
