"""`edgewright receipt`: what an earlier `optimize` was asked, what it got, and why."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edgewright.errors import ModelError
from edgewright.report.report import Report
from edgewright.report.text import receipt_text
from edgewright.verbs.result import Result

HINT = "give the folder that `edgewright optimize` wrote, or its report.json"


def receipt(where: Path) -> Result:
    """The receipt in report.json at ``where``; ModelError where there is none."""
    path = where / "report.json" if where.is_dir() else where
    try:
        report = Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint=HINT) from error
    except ValidationError as error:
        raise ModelError(f"{path} is no report: {error.error_count()} entries do not fit", hint=HINT) from error
    if report.receipt is None:
        raise ModelError(
            f"{path} has no receipt: it is of a measurement, or of an older version", hint="optimize the network anew"
        )
    return Result(report.receipt.model_dump(mode="json"), receipt_text(report))
