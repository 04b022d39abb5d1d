"""How well a network answers, and whether a difference between two of them is more than chance."""

from __future__ import annotations
