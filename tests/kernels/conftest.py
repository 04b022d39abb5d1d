"""Where a kernel is run that has a form for some cores of its own."""

from __future__ import annotations

import pytest

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("thumb1", "thumb2", "rv32", "cortex-m4 size", "cortex-m55 size")]


@pytest.fixture(params=["host", "dsp", "size", "cortex-m0plus", "cortex-m3", "cortex-m4", "rv32imac", *SLOW])
def target(request: pytest.FixtureRequest) -> str:
    """A folder of kernels, whose instructions have a form in C, on this computer, under the sanitizers; or an emulated device, where they
    are assembly."""
    name = str(request.param)
    request.getfixturevalue("needs_arm" if name.startswith("cortex") else "needs_riscv" if name == "rv32imac" else "needs_cc")
    return name
