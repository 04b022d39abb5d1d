"""Edgewright makes a trained neural network fit an edge device, and proves that it still works.

``load``, ``optimize``, ``lower``, ``emit``, ``measure`` and ``write_files`` are the whole road; see :mod:`edgewright.pipeline`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_PIPELINE = ("load", "optimize", "lower", "emit", "measure", "write_files", "Optimized")
__all__ = ["__version__", *_PIPELINE]


def __getattr__(name: str) -> Any:
    """The pipeline loads torch; it is imported when first asked for, so that ``edgewright --help`` answers at once (PEP 562)."""
    if name in _PIPELINE:
        return getattr(importlib.import_module("edgewright.pipeline"), name)
    raise AttributeError(f"module 'edgewright' has no attribute {name!r}")
