"""What ``import edgewright`` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["", "import edgewright.emit.tflite, edgewright.lower.integer", "from edgewright.emit.c import emit_c"])
def test_the_verbs_are_functions_whatever_was_imported_before(first: str) -> None:
    names = ("load", "optimize", "lower", "emit", "measure")
    code = f"{first}\nimport edgewright, inspect\nassert all(inspect.isfunction(getattr(edgewright, name)) for name in {names})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import edgewright, sys\nassert not {'torch', 'onnx', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
