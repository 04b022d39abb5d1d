"""Fixtures for all tests: determinism, the shared networks, and what a test needs of the machine.

A test that needs something the machine may lack takes the fixture that names it (``needs_arm``, ``shared_models``). Where it is missing,
the test is skipped with the reason; under ``CI=true`` it fails, so that nothing is left unproved in silence.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
IN_CI = os.environ.get("CI") == "true"

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
hypothesis.settings.register_profile("deterministic", derandomize=True, deadline=None, database=None, print_blob=False)
hypothesis.settings.load_profile("deterministic")


def need(present: bool, what: str, how: str) -> None:
    """Skip the test where `what` is not `present`, saying `how` to get it; fail it instead under CI=true."""
    if not present:
        reason = f"needs {what}, which is not here (hint: {how})"
        pytest.fail(reason, pytrace=False) if IN_CI else pytest.skip(reason)


def need_module(module: str, how: str) -> None:
    """Like `need`, for an optional Python package; it is looked up, not imported."""
    need(importlib.util.find_spec(module) is not None, f"the Python package {module}", how)


def need_commands(*commands: str, packages: str) -> None:
    """Like `need`, for programs on PATH that the Debian `packages` bring."""
    missing = [command for command in commands if shutil.which(command) is None]
    need(not missing, " and ".join(missing), f"apt-get install --no-install-recommends {packages}")


@pytest.fixture(autouse=True)
def _same_every_time() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of networks that nobody here made (MLPerf Tiny, TFLM)."""
    need((SHARED / "models").is_dir(), "the networks in ../shared/models", "check them out beside this repository")
    return SHARED / "models"


@pytest.fixture(scope="session")
def shared_bench() -> Path:
    """The folder of published benchmark inputs (MiniMalloc's allocation problems, the Cortex-M cycle model)."""
    need((SHARED / "bench").is_dir(), "the benchmark inputs in ../shared/bench", "check them out beside this repository")
    return SHARED / "bench"


@pytest.fixture(scope="session")
def needs_cc() -> None:
    """A C compiler for this machine."""
    need_commands("cc", packages="gcc libc6-dev")


@pytest.fixture(scope="session")
def needs_arm(needs_cc: None) -> None:
    """Cross compiler, C library and emulator for Cortex-M."""
    need_commands("arm-none-eabi-gcc", "qemu-system-arm", packages="gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm")


@pytest.fixture(scope="session")
def needs_riscv(needs_cc: None) -> None:
    """Cross compiler, C library and emulator for RV32."""
    need_commands(
        "riscv64-unknown-elf-gcc", "qemu-system-riscv32", packages="gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc"
    )


@pytest.fixture(scope="session")
def needs_aarch64(needs_cc: None) -> None:
    """Cross compiler and emulator for Linux programs on Cortex-A."""
    need_commands("aarch64-linux-gnu-gcc", "qemu-aarch64", packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user")


@pytest.fixture(scope="session")
def needs_tflite_micro() -> None:
    """The golden reference: TensorFlow Lite Micro's interpreter."""
    need_module("tflite_micro", "scripts/setup installs the pinned wheel")


@pytest.fixture(scope="session")
def needs_vela() -> None:
    """Arm's compiler for the Ethos-U."""
    need_module("ethosu", "pip install 'edgewright[ethos-u]'")


@pytest.fixture(scope="session")
def needs_pip_toolchain() -> None:
    """The compiler and emulator that pip alone installs."""
    need_module("ziglang", "pip install 'edgewright[pip-toolchain]'")
    need_module("unicorn", "pip install 'edgewright[pip-toolchain]'")
