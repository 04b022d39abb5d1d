"""Where a kernel that has a form with DSP instructions is run."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["host", "dsp", "cortex-m4"])
def target(request: pytest.FixtureRequest) -> str:
    """The portable kernels and those with DSP instructions on this computer, under the sanitizers; the latter on an emulated device."""
    request.getfixturevalue("needs_arm" if request.param == "cortex-m4" else "needs_cc")
    return str(request.param)
