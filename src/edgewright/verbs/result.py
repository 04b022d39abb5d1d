"""What a verb gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """``data``: what --json prints. ``text``: the same for people.

    ``failed``: what turned out wrong although everything ran (the device gave other bytes); the exit code is 1 then.
    """

    data: Any
    text: str
    failed: str = ""
