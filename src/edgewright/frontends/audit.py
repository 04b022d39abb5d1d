"""The audit at the door: everything that a network needs and Edgewright lacks, told at once and before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.errors import UnsupportedError

MOST_LINES = 40
"""Findings that are spelled out; a hostile file may hold millions."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that cannot be taken: the source's ``operator`` as its format spells it, ``where`` it stands (node, layer or tensor name),
    the ``problem``, and a ``hint`` that says what to do about it."""

    operator: str
    where: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.operator} {self.where!r}: {self.problem}"


def raise_unsupported(findings: Sequence[Finding], model: str = "the network") -> None:
    """Raise one UnsupportedError that lists all ``findings`` in order, and each of their hints once; nothing where there are none."""
    if not findings:
        return
    lines = [str(finding) for finding in findings[:MOST_LINES]]
    if len(findings) > MOST_LINES:
        lines.append(f"and {len(findings) - MOST_LINES} more")
    count = "1 thing" if len(findings) == 1 else f"{len(findings)} things"
    hints = dict.fromkeys(finding.hint for finding in findings if finding.hint)
    raise UnsupportedError(f"{model} needs {count} that Edgewright does not have:\n  " + "\n  ".join(lines), hint="; ".join(hints))
