"""The causes that are looked for: one file, one cause, one function ``find(case)`` that gives a Finding, or None."""

from __future__ import annotations
