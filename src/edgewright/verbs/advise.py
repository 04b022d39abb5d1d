"""`edgewright advise`: which techniques would pay on a target, before any training."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from edgewright import pipeline
from edgewright.data import load_data
from edgewright.passes import load_passes
from edgewright.report.table import columns, render
from edgewright.search.advise import Advice
from edgewright.search.advise import advise as advise_graph
from edgewright.targets.target import load_target
from edgewright.verbs.result import Result

SHOWN = ("macs", "cycles", "instructions", "npu_cycles", "flash_bytes", "file_bytes", "arena_bytes", "sram_bytes")


def advise(model: str, *, target: str, prefer: str = "speed", data: str | None = None) -> Result:
    """One row a technique: what remains of each cost, as a share of the int8 network's."""
    load_passes()
    graph, board = pipeline.load(model), load_target(target).preferring(prefer)
    talk = Console(stderr=True)
    samples = None if data is None else load_data(data, graph)
    with talk.status("quantize to int8") as status:
        found = advise_graph(graph, board, data=samples, progress=status.update)
    known = [name for name in SHOWN if any(name in advice.figures for advice in found)]
    rows = [(advice.name, advice.verdict, *(_share(advice, name) for name in known), advice.why) for advice in found]
    titles = ("technique", "verdict", *(name.replace("_", " ") for name in known), "why")
    table = columns(titles, rows, numbers=tuple(range(2, 2 + len(known))))
    recipe = [f"  {advice.name}: {'; '.join(advice.steps)}" for advice in found if advice.verdict == "pays"]
    told = "What pays, as steps of a recipe:\n" + "\n".join(recipe) if recipe else "Nothing of this pays here."
    text = f"{render([table])}\n\n{told}\nAccuracy is not told: nothing was trained."
    return Result([dataclasses.asdict(advice) for advice in found], text)


def _share(advice: Advice, name: str) -> str:
    if name not in advice.figures:
        return ""
    before, after = advice.figures[name]
    return f"x{after / before:.2f}" if before else ""
