"""Edgewright makes a trained neural network fit an edge device, and proves that it still works.

``load``, ``optimize``, ``lower``, ``emit``, ``measure`` and ``write_files`` are the whole road; see :mod:`edgewright.pipeline`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.pipeline import Optimized, emit, from_module, load, lower, measure, optimize, to_module, train, write_files

__version__ = "0.1.0"
__all__ = ["Optimized", "__version__", "emit", "from_module", "load", "lower", "measure", "optimize", "to_module", "train", "write_files"]
_PIPELINE = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> Any:
    """The pipeline loads torch; it is imported when first asked for, so that ``edgewright --help`` answers at once (PEP 562)."""
    if name in _PIPELINE:
        return getattr(importlib.import_module("edgewright.pipeline"), name)
    raise AttributeError(f"module 'edgewright' has no attribute {name!r}")


class _Package(ModuleType):
    """``edgewright.emit`` and ``edgewright.lower`` are the verbs, although rooms of these names exist: importing one does not bind it here.

    ``from edgewright.emit.onnx import emit_onnx`` works as ever.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _PIPELINE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
