"""Generated C on this computer, or on an emulated one that runs Linux: the same driver as on a device, in a process of its own, with
sanitizers where wanted."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewright.errors import ToolError
from edgewright.run.build import build_host, write_sources
from edgewright.run.exchange import read_record, write_inputs
from edgewright.run.run import Arrays, OutputSpecs, Run, split_outputs
from edgewright.run.toolchain import find_platform
from edgewright.targets.target import Target

_SANITIZERS = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_SANITIZER_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=0"}


def run_host(
    files: Mapping[str, bytes],
    inputs: Arrays,
    *,
    outputs: OutputSpecs | None = None,
    layer_names: Sequence[str] = (),
    sanitize: bool = False,
    reset_state: bool = True,
    timeout_seconds: float = 600,
    flags: Sequence[str] = ("-O2",),
    target: Target | None = None,
) -> Run:
    """Compile ``files`` (what emit_c returned) with all warnings as errors and run the inputs through them.

    ``outputs``: dtype and shape of each output; without them ``Run.outputs`` is one array of bytes. ``sanitize``: under the
    address and undefined behaviour sanitizers; ToolError with the first finding. ``reset_state``: every sample starts from the
    initial state; otherwise they are one stream. ``flags``: for the compiler, after those for the processor. ``target``: a device that runs
    Linux, under QEMU; None, or one that does not: this computer.
    """
    platform = find_platform(target)
    where = "this computer" if platform.where == "host" else platform.where
    chosen = (*flags, *(_SANITIZERS if sanitize else ()))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        program = build_host(platform.compiler, write_sources(files, folder), folder, chosen)
        count = write_inputs(folder, inputs, reset_state)
        try:
            done = subprocess.run(
                [*platform.launcher, str(program)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_seconds,
                env=_SANITIZER_ENVIRONMENT if sanitize else None,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"the network did not finish {count} inferences in {timeout_seconds:g} seconds", hint="give fewer samples or more time"
            ) from error
        record = read_record(folder, inputs, where, _what_happened(done.stderr, done.returncode))
        data = (folder / "outputs").read_bytes()
    return Run(
        outputs=split_outputs(data, count, outputs),
        inferences=count,
        where=platform.where,
        seconds=time.perf_counter() - start,
        seconds_per_inference=record.microseconds / 1e6 / count,
        layer_names=tuple(layer_names),
    )


def _what_happened(errors: str, status: int) -> str:
    """A sanitizer's first finding, or the signal that ended the process."""
    found = re.search(r"^.*?(runtime error: .*|ERROR: AddressSanitizer: .*)$", errors, re.MULTILINE)
    where = re.search(r"#\d+ 0x[0-9a-f]+ in (\w+) .*?([\w.]+:\d+)", errors)
    if found:
        return f"{found[0].strip()}{f' (in {where[1]}, {where[2]})' if where and 'AddressSanitizer' in found[0] else ''}"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
