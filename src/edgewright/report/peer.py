"""A peer's figures on the same networks and cores, and ours beside them.

A table is TOML (``name``, ``source``, then ``[[figures]]``), JSON of the same shape, or CSV with a header line (the file's name is the
peer's then). Columns: ``network`` and ``core``; ``instructions`` and ``cycles`` of one inference, ``startup_instructions``; bytes of
``arena``, ``static`` (.data and .bss beside the arena), ``stack``, ``code`` (with its tables, without weights) and ``weights``; ``source``
of the row. What is not known is left out.
"""

from __future__ import annotations

import csv
import io
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgewright.errors import DataError
from edgewright.report.report import PeerComparison, PeerRow, Report

MOST_BYTES = 1 << 20
EXAMPLE = "benchmarks/peers/tflm.toml is an example"
ENDINGS = (".toml", ".json", ".csv")
FIGURES = ("instructions", "startup_instructions", "cycles", "arena", "static", "stack", "ram", "code", "weights")
"""What is compared; ``ram`` is arena, static and stack together."""
Text = Annotated[str, Field(min_length=1, max_length=400)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]


class PeerFigures(BaseModel):
    """One network on one core; None where the peer's figure is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Text
    core: Text
    instructions: Count | None = None
    startup_instructions: Count | None = None
    cycles: Count | None = None
    arena: Count | None = None
    static: Count | None = None
    stack: Count | None = None
    code: Count | None = None
    weights: Count | None = None
    source: str = Field(default="", max_length=400)

    @property
    def ram(self) -> int | None:
        """Arena, variables and stack together."""
        return None if self.arena is None or self.static is None or self.stack is None else self.arena + self.static + self.stack


class Peer(BaseModel):
    """A table of figures: who, from where (version, flags, how it was measured), and the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    source: Text
    figures: Annotated[tuple[PeerFigures, ...], Field(min_length=1, max_length=10_000)]

    def find(self, network: str, core: str) -> PeerFigures | None:
        """The row of ``network`` on ``core``."""
        return next((row for row in self.figures if (row.network, row.core) == (network, core)), None)


def load_peer(path: str | Path) -> Peer:
    """The table at ``path``; DataError, once and with the place, where it is not one."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path.name}: a peer's table ends in {', '.join(ENDINGS)}", hint=EXAMPLE)
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read the peer's table {path}: {error.strerror}", hint="check the path") from error
    if len(data) > MOST_BYTES:
        raise DataError(f"{path.name}: longer than {MOST_BYTES:,} bytes", hint="a peer's table has a row for each network and core")
    try:
        tables = _parsed(data.decode("utf-8-sig"), path)
        peer = Peer.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise DataError(f"{path.name} is not a peer's table: {place}: {first['msg']}{more}", hint=EXAMPLE) from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, csv.Error, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", hint=f"is its ending right? {EXAMPLE}") from error
    keys = [(row.network, row.core) for row in peer.figures]
    for key in keys:
        if keys.count(key) > 1:
            raise DataError(f"{path.name} has {' on '.join(map(repr, key))} twice", hint="one row for each network and core")
    return peer


def compare_peer(report: Report, peer: Peer, *, core: str) -> PeerComparison:
    """The figures of a measured ``report`` over those of ``peer`` for the same network, on ``core`` or on the target itself.

    DataError where the table has no such row.
    """
    row = peer.find(report.name, report.device.name) or peer.find(report.name, core)
    if row is None:
        there = ", ".join(f"{figures.network} on {figures.core}" for figures in peer.figures[:12])
        more = f" and {len(peer.figures) - 12} more" if len(peer.figures) > 12 else ""
        raise DataError(f"{peer.name} has no figures for {report.name!r} on {core}", hint=f"the table has {there}{more}")
    ours = _ours(report)
    rows = []
    for figure in FIGURES:
        mine, theirs = ours[figure], getattr(row, figure)
        if mine is not None and theirs is not None:
            rows.append(PeerRow(figure=figure, ours=mine, theirs=theirs, ratio=round(mine / theirs, 3) if theirs else None))
    return PeerComparison(name=peer.name, source=row.source or peer.source, network=row.network, core=row.core, rows=rows)


def _ours(report: Report) -> dict[str, int | None]:
    measured, weights = report.measured, report.after.weight_bytes
    arena = None if report.memory is None else report.memory.arena_bytes
    ours: dict[str, int | None] = dict.fromkeys(FIGURES) | {"arena": arena, "weights": weights}
    if measured is None:
        return ours
    return ours | {
        "instructions": measured.instructions_per_inference,
        "startup_instructions": measured.startup_instructions,
        "cycles": measured.cycles_modelled,
        "static": measured.sections["data"] + measured.sections["bss"] - arena if measured.sections and arena is not None else None,
        "stack": measured.peak_stack_bytes,
        "ram": measured.ram_bytes,
        "code": None if measured.flash_bytes is None else measured.flash_bytes - weights,
    }


def _parsed(text: str, path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".toml":
        return tomllib.loads(text)
    if path.suffix.lower() == ".json":
        found = json.loads(text)
        return found if isinstance(found, dict) else {"name": path.stem, "source": path.name, "figures": found}
    rows = [{key: cell for key, cell in row.items() if cell not in ("", None)} for row in csv.DictReader(io.StringIO(text), strict=True)]
    if any(None in row for row in rows):
        raise csv.Error("a line has more cells than the header")
    return {"name": path.stem, "source": path.name, "figures": rows}
