"""The evaluation in a terminal."""

from __future__ import annotations

from rich.table import Table

from edgewright.report.evaluation import Answers, Evaluation, Part, worst_confusions
from edgewright.report.table import columns, render, shortened

MOST_PARTS = 5
LONGEST_NAME = 32


def evaluation_text(report: Evaluation) -> str:
    """Every table of the evaluation."""
    unit = "samples in groups that stay together" if report.grouped else "samples"
    tables = [columns(("", ""), [("data", f"{report.samples:,} {unit} of {report.source}")], header=False), _figures(report)]
    tables += _runtimes(report)
    for answers in report.models:
        tables += [*_parts("class", answers, answers.classes), *_parts("group", answers, answers.groups), *_mistakes(answers)]
    return render([*tables, *_scenarios(report), *_folds(report)])


def _figures(report: Evaluation) -> Table:
    rows = []
    for answers in report.models:
        for figure in answers.figures:
            change = "" if figure.change is None else f"{figure.change:+.4f}"
            interval = "" if figure.interval is None else f"{figure.interval[0]:+.4f} to {figure.interval[1]:+.4f}"
            value = "undefined" if figure.value is None else f"{figure.value:.4f}"
            p = "" if figure.p is None else f"{figure.p:.3g}"
            rows.append((shortened(answers.model, LONGEST_NAME), answers.level, figure.metric, value, change, interval, p, figure.verdict))
    titles = ("network", "level", "metric", "value", "change", "95 % interval", "McNemar p", "verdict")
    return columns(titles, rows, numbers=(3, 4, 5, 6))


def _runtimes(report: Evaluation) -> list[Table]:
    if not report.runtimes:
        return []
    rows = []
    for row in report.runtimes:
        unequal = "" if row.unequal is None else f"{row.unequal:,} of {row.outputs:,}"
        steps = "" if row.most_steps is None else str(row.most_steps)
        figure, same = ("" if share is None else f"{share:.4f}" for share in (row.figure, row.same_answer))
        name = shortened(row.model, LONGEST_NAME)
        rows.append((name, row.runtime, f"{row.samples:,}" if row.samples else "", figure, same, unequal, steps, row.note))
    metric = report.metrics[0] if report.metrics else "figure"
    titles = ("network", "runtime", "samples", metric, "same answer as the first", "integers unlike the device", "steps", "note")
    return [columns(titles, rows, numbers=(2, 3, 4, 5, 6))]


def _parts(what: str, answers: Answers, parts: list[Part]) -> list[Table]:
    rows = []
    for part in parts[:MOST_PARTS]:
        interval = "" if part.interval is None else f"{part.interval[0]:+.4f} to {part.interval[1]:+.4f}"
        rows.append((part.name, f"{part.samples:,}", f"{part.before:.4f}", f"{part.after:.4f}", interval))
    titles = (f"worst {what} of {shortened(answers.model, LONGEST_NAME)}", "samples", "first network", "this one", "95 % of the change")
    return [columns(titles, rows, numbers=(1, 2, 3, 4))] if rows else []


def _mistakes(answers: Answers) -> list[Table]:
    rows = [(str(label), str(answer), f"{count:,}") for label, answer, count in worst_confusions(answers.confusion)]
    title = f"mistakes of {shortened(answers.model, LONGEST_NAME)}: label"
    return [columns((title, "answered", "samples"), rows, numbers=(0, 1, 2))] if rows else []


def _scenarios(report: Evaluation) -> list[Table]:
    rows = []
    for answers in report.models:
        for scenario in answers.scenarios:
            worst = "" if scenario.worst_loss_against_first is None else f"{-scenario.worst_loss_against_first:+.4f}"
            figures = [f"{figure:.4f}" for figure in (scenario.clean, *scenario.figures)]
            rows.append((shortened(answers.model, LONGEST_NAME), scenario.name, *figures, worst))
    titles = ("network", f"{report.kind} scenario", "clean", "1", "2", "3", "4", "5", "worst against the first")
    return [columns(titles, rows, numbers=range(2, 9))] if rows else []


def _folds(report: Evaluation) -> list[Table]:
    rows = [(name, " ".join(f"{figure:.4f}" for figure in figures)) for name, figures in report.folds.items()]
    return [columns(("cross-validation", "figure of each fold"), rows)] if rows else []
