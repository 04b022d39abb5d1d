"""Arm's Vela: compiles a .tflite for an Ethos-U NPU and tells what that would cost. An optional extra; its files cannot be run here."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import DataError, ToolError

ACCELERATORS = ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512",
                "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048")
DEFAULT = "internal-default"
"""Vela's own choice of system configuration and memory mode for an accelerator."""
_KIB = 1024
_NAME = "network"
_FALLBACK = re.compile(r"^Warning \(supported operators\) operator: (.+?), ofm: '(.*)'\nReason: (.*)$", re.MULTILINE)
_COUNTS = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class VelaReport:
    """What Vela says of one network on one NPU. Cycles and time are its model's, not measured; it reports no energy."""

    accelerator: str
    system: str
    """The system configuration and the memory mode that the figures hold for."""
    cycles: int
    """Of one inference, waiting for memory included; 0 where nothing runs on the NPU."""
    npu_cycles: int
    inference_ms: float
    sram_bytes: int
    flash_bytes: int
    dram_bytes: int
    macs: int
    npu_operators: int
    """Counted as Vela counts them: after its own rewriting."""
    cpu_operators: int
    on_cpu: tuple[str, ...]
    """Operators that the NPU does not take, each with where it stands and why."""
    files: Mapping[str, bytes]
    """The compiled network, for TensorFlow Lite Micro with the Ethos-U driver."""
    seconds: float

    @property
    def npu_share(self) -> float:
        """Share of the operators that run on the NPU, 0 … 1."""
        return self.npu_operators / max(1, self.npu_operators + self.cpu_operators)


def run_vela(files: Mapping[str, bytes], accelerator: str = "ethos-u55-128", *, system_config: str = DEFAULT, memory_mode: str = DEFAULT,
             timeout_seconds: float = 600) -> VelaReport:
    """Compile the .tflite among ``files`` for ``accelerator``, one of ACCELERATORS.

    ``system_config`` and ``memory_mode`` name sections of the file that Vela brings. ToolError where Vela is missing or fails.
    """
    if accelerator not in ACCELERATORS:
        raise DataError(f"unknown accelerator {accelerator!r}", hint=f"one of {', '.join(ACCELERATORS)}")
    names = [name for name in files if name.lower().endswith(".tflite")]
    if len(names) != 1:
        raise DataError(f"expected one .tflite file, got {', '.join(names) or 'none'}", hint="emit with format tflite")
    if importlib.util.find_spec("ethosu") is None:
        raise ToolError("Vela is not installed", hint="pip install 'edgewright[ethos-u]'")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        source, results = Path(folder) / f"{_NAME}.tflite", Path(folder) / "results"
        source.write_bytes(files[names[0]])
        command = [sys.executable, "-m", "ethosu.vela", str(source), "--accelerator-config", accelerator, "--output-dir", str(results)]
        if (system_config, memory_mode) != (DEFAULT, DEFAULT):
            command += ["--config", "Arm/vela.ini", "--system-config", system_config, "--memory-mode", memory_mode]
        said = _run(command, folder, timeout_seconds)
        row = _summary(results)
        written = {Path(names[0]).stem + path.name.removeprefix(_NAME): path.read_bytes() for path in sorted(results.glob("*.tflite"))}
    counts = {name: int(number) for name, number in _COUNTS.findall(said)}
    if set(counts) != {"CPU", "NPU"}:
        raise ToolError("Vela did not say how many operators run on the NPU", hint="its version differs from the one that is pinned")
    reasons = dict.fromkeys(f"{kind} {where!r}: {why}" for kind, where, why in _FALLBACK.findall(said))
    return VelaReport(
        accelerator, f"{row['system_config']}, {row['memory_mode']}", _integer(row, "cycles_total"), _integer(row, "cycles_npu"),
        1000 * float(row["inference_time"]), round(_KIB * float(row["sram_memory_used"])),
        round(_KIB * (float(row["on_chip_flash_memory_used"]) + float(row["off_chip_flash_memory_used"]))),
        round(_KIB * float(row["dram_memory_used"])), _integer(row, "nn_macs"), counts["NPU"], counts["CPU"], tuple(reasons), written,
        time.perf_counter() - start)


def _run(command: list[str], folder: str, timeout_seconds: float) -> str:
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"Vela did not finish in {timeout_seconds:g} seconds", hint="give it more time") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
        raise ToolError(f"Vela failed: {lines[-1]}", hint="it takes int8 networks of static shape; does LiteRT run this file?")
    return done.stdout + done.stderr


def _summary(results: Path) -> dict[str, str]:
    try:
        with next(results.glob("*_summary_*.csv")).open(newline="", encoding="utf-8") as file:
            return next(csv.DictReader(file))
    except (StopIteration, OSError) as error:
        raise ToolError("Vela wrote no summary", hint="its version differs from the one that is pinned") from error


def _integer(row: Mapping[str, str], name: str) -> int:
    return round(float(row[name]))
