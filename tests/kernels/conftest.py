"""Where a kernel is run that has a form for some cores of its own."""

from __future__ import annotations

import platform

import pytest

SLOW_NAMES = ("portable", "x86 plain", "thumb1", "thumb2", "rv32", "cortex-m4 size", "cortex-m55 size")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in SLOW_NAMES]


@pytest.fixture(params=["host", "x86 avx2", "dsp", "size", "cortex-m0plus", "cortex-m3", "cortex-m4", "rv32imac", *SLOW])
def target(request: pytest.FixtureRequest) -> str:
    """A folder of kernels, whose instructions have a form in C, on this computer, under the sanitizers; or an emulated device, where they
    are assembly."""
    name = str(request.param)
    if name.startswith("x86") and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the flags are those of x86")
    request.getfixturevalue("needs_arm" if name.startswith("cortex") else "needs_riscv" if name == "rv32imac" else "needs_cc")
    return name
