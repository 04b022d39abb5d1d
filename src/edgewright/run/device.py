"""Generated C on an emulated device, with whichever emulator is installed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgewright.run.qemu import run_qemu
from edgewright.run.run import Arrays, Run
from edgewright.run.unicorn import run_unicorn
from edgewright.targets.target import Target


def run_device(files: Mapping[str, bytes], inputs: Arrays, target: Target, **options: Any) -> Run:
    """:func:`edgewright.run.qemu.run_qemu` where that QEMU is installed.

    Otherwise :func:`edgewright.run.unicorn.run_unicorn`, which a note says.

    ``options``: those of either. ToolError with QEMU's hint where neither is there.
    """
    has_qemu = target.qemu is not None and shutil.which(f"qemu-system-{target.qemu.system}") is not None
    if has_qemu or target.unicorn_cpu is None or importlib.util.find_spec("unicorn") is None:
        return run_qemu(files, inputs, target, **options)
    run = run_unicorn(files, inputs, target, **options)
    return replace(run, notes=(*run.notes, "emulated by Unicorn: QEMU is not installed; no cycles are modelled"))
