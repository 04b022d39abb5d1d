"""Why a quantized network answers worse than its float original, and what to do about it."""

from __future__ import annotations
