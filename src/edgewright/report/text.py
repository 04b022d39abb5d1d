"""The report in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from edgewright.report.figures import budget_rows, changes, headline, ledger_rows, peer_rows
from edgewright.report.receipt import receipt_rows, step_rows
from edgewright.report.report import Report
from edgewright.report.table import columns, render, shortened

LONGEST_NAME = 48
"""Letters of a layer's name; the other forms of the report have all of it."""


def to_text(report: Report, folder: Path | None = None) -> str:
    """The whole report; ``folder``: where its files were written."""
    budget = [columns(("budget", "at most", "got", "met", "from"), budget_rows(report), numbers=(1, 2))] if report.budget else []
    before_after = columns(("", "before", "after"), changes(report), numbers=(1, 2))
    tables = [_headline(report), *budget, before_after, _layers(report), *_ledger(report)]
    tables += _receipt(report)
    skipped = [(entry.technique, entry.where, entry.detail) for entry in report.entries if entry.action == "skipped"]
    if skipped:
        tables.append(columns(("skipped by", "where", "why"), skipped))
    if report.npu is not None and report.npu.on_cpu:
        tables.append(columns(("left to the CPU",), [(operator,) for operator in report.npu.on_cpu]))
    if report.measured is not None and report.measured.notes:
        tables.append(columns(("note",), [(note,) for note in report.measured.notes]))
    if report.files:
        written = [(str(folder / name if folder is not None else name), f"{size:,}") for name, size in report.files.items()]
        tables.append(columns(("file", "bytes"), written, numbers=(1,)))
    return render(tables)


def receipt_text(report: Report) -> str:
    """What was asked, what was got, and why."""
    return render(_receipt(report))


def _receipt(report: Report) -> list[Table]:
    if report.receipt is None:
        return []
    rows = [(shortened(layer, LONGEST_NAME), asked, got, why) for layer, asked, got, why in receipt_rows(report.receipt)]
    steps = columns(("step of the recipe", "did", "skipped", ""), step_rows(report.receipt), numbers=(1, 2))
    return [columns(("layer", "asked", "got (! not as asked)", "why"), rows), *([steps] if report.receipt.steps else [])]


def measured_text(report: Report) -> str:
    """What a run gave: the headline and the layers."""
    return render([_headline(report), _layers(report), *_ledger(report), *_peer(report)])


def _headline(report: Report) -> Table:
    rows = [("network", f"{report.name}, recipe {report.recipe}, for {report.device.name}"), *headline(report)]
    if report.memory is not None:
        rows.append(("arena's lower bound", f"{report.memory.lower_bound_bytes:,} B ({report.memory.strategy})"))
    return columns(("", ""), rows, header=False)


def _ledger(report: Report) -> list[Table]:
    if report.ledger is None:
        return []
    tables = [columns(("memory", "what", "predicted", "found", "difference", "from"), ledger_rows(report.ledger), numbers=(2, 3, 4))]
    if report.ledger.stack_path:
        path = " > ".join(f"{function} {size:,}" for function, size in report.ledger.stack_path)
        tables.append(columns(("deepest calls, bytes of stack",), [(path,)]))
    return tables


def _peer(report: Report) -> list[Table]:
    if report.peer is None:
        return []
    peer = report.peer
    about = columns(("peer",), [(f"{peer.name}, {peer.network} on {peer.core}",), (peer.source,)])
    return [about, columns(("", "ours", "theirs", "ours/theirs"), peer_rows(peer), numbers=(1, 2, 3))]


def _layers(report: Report) -> Table:
    columns_of: dict[str, list[int | None]] = {
        "arena": [layer.live_bytes for layer in report.layers],
        "instructions": [layer.instructions for layer in report.layers],
        "predicted": [layer.predicted_instructions for layer in report.layers],
        "cycles": [layer.cycles for layer in report.layers],
        "cycles predicted": [layer.predicted_cycles for layer in report.layers],
    }
    known = {title: figures for title, figures in columns_of.items() if any(figure is not None for figure in figures)}
    rows = []
    for index, layer in enumerate(report.layers):
        row = [shortened(layer.name, LONGEST_NAME), layer.kind, layer.shape, f"{layer.macs:,}", f"{layer.weight_bytes:,}"]
        rows.append([*row, *("" if figures[index] is None else f"{figures[index]:,}" for figures in known.values())])
    titles = ("layer", "operator", "output", "MACs", "weight bytes", *known)
    return columns(titles, rows, numbers=range(3, len(titles)))
