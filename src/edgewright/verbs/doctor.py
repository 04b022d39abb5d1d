"""`edgewright doctor`: what of the outside world is here, and how to get the rest."""

from __future__ import annotations

from dataclasses import asdict

from edgewright.report.table import columns, render
from edgewright.run.toolchain import check_tools
from edgewright.verbs.result import Result


def doctor() -> Result:
    """Every tool and optional package. Nothing that is missing is an error: only what needs it fails."""
    tools = check_tools()
    rows = [(tool.name, tool.version or "missing", tool.purpose, "" if tool.version else tool.remedy) for tool in tools]
    return Result([asdict(tool) for tool in tools], render([columns(("tool", "found", "needed for", "how to get it"), rows)]))
