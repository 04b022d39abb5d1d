"""Where a kernel is run that has a form for some cores of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["host", "dsp", "cortex-m3", "cortex-m4"])
def target(request: pytest.FixtureRequest) -> str:
    """Portable kernels and those with DSP instructions on this computer, under the sanitizers; those with assembly on emulated devices."""
    request.getfixturevalue("needs_arm" if request.param.startswith("cortex") else "needs_cc")
    return str(request.param)
