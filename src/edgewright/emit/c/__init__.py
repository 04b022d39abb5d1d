"""C99 source for microcontrollers and hosts."""

from __future__ import annotations

from edgewright.emit.c.program import emit_c

__all__ = ["emit_c"]
