"""Compilers and emulators: which are here, what each is for, how to get the missing ones."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from edgewright.errors import ToolError
from edgewright.targets.target import Target

ToolchainName = Literal["gcc", "zig"]
CROSS = {"arm": "arm-none-eabi-", "riscv32": "riscv64-unknown-elf-"}
LINUX_CROSS = {"aarch64": "aarch64-linux-gnu-"}
PACKAGES = {
    "cc": "gcc libc6-dev",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-riscv32": "qemu-system-misc",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-aarch64": "qemu-user",
}
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
STRICT_C = ("-std=c99", *_WARNINGS)
_ANSWER_SECONDS = 20
_COMPILE_SECONDS = 600


@dataclass(frozen=True)
class Tool:
    """One line of `edgewright doctor`. ``version`` is None where the tool is missing; ``remedy`` says how to get it."""

    name: str
    version: str | None
    purpose: str
    remedy: str


@dataclass(frozen=True)
class Toolchain:
    """A compiler for a device: the command with flags that choose the core, flags that link, a disassembler if there is one."""

    name: ToolchainName
    compiler: tuple[str, ...]
    firmware_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    objdump: tuple[str, ...] | None


@dataclass(frozen=True)
class Platform:
    """Where a program of an operating system runs: ``compiler`` with the flags that choose the processor, ``launcher`` in front of it."""

    where: str
    compiler: tuple[str, ...]
    launcher: tuple[str, ...] = ()


def find_platform(target: Target | None) -> Platform:
    """This computer, or ``target`` under QEMU's emulation of Linux programs. ToolError where a compiler or QEMU is missing."""
    if target is None or target.linux is None:
        compiler = find_host_compiler()
        return Platform("host", (*compiler, *native_flags(compiler)))
    system, cross = target.linux.qemu, LINUX_CROSS[target.linux.qemu]
    if shutil.which(f"qemu-{system}") is None:
        raise ToolError(f"qemu-{system} is not installed", hint=remedy(f"qemu-{system}"))
    launcher = (f"qemu-{system}", "-cpu", target.linux.qemu_cpu)
    # Floating point as written: a multiplication and an addition are two roundings.
    if shutil.which(f"{cross}gcc"):
        return Platform(target.name, (f"{cross}gcc", *target.gcc_flags, "-static", "-ffp-contract=off"), launcher)
    if target.zig_cpu is not None and importlib.util.find_spec("ziglang") is not None:
        zig = (sys.executable, "-m", "ziglang", "cc", f"--target={target.zig_target}", f"-mcpu={target.zig_cpu}", "-fno-sanitize=all")
        return Platform(target.name, (*zig, "-ffp-contract=off"), launcher)
    hint = remedy(f"{cross}gcc", "or pip install 'edgewright[pip-toolchain]'")
    raise ToolError(f"no compiler for {target.name}: {cross}gcc is not installed", hint=hint)


def find_toolchain(target: Target, name: ToolchainName | None = None) -> Toolchain:
    """The compiler for ``target``: GNU where it is installed, otherwise Zig's; ``name`` insists on one. ToolError where there is none."""
    if target.qemu is None:
        raise ToolError(
            f"{target.name} is not a device that code is cross-compiled for", hint="choose a core or a board: `edgewright targets`"
        )
    cross = CROSS[target.qemu.system]
    if name != "zig" and shutil.which(f"{cross}gcc"):
        return _gcc(target, cross)
    if name != "gcc" and target.zig_cpu is not None and importlib.util.find_spec("ziglang") is not None:
        return _zig(target)
    if name == "zig":
        hint = "pip install 'edgewright[pip-toolchain]'" if target.zig_cpu else "use the GNU toolchain"
        raise ToolError(f"no Zig compiler for {target.name}", hint=hint)
    raise ToolError(
        f"no compiler for {target.name}: {cross}gcc is not installed",
        hint=remedy(f"{cross}gcc", "or pip install 'edgewright[pip-toolchain]'"),
    )


def find_host_compiler() -> tuple[str, ...]:
    """A C compiler for this computer."""
    for command in ("cc", "gcc", "clang"):
        if shutil.which(command):
            return (command,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise ToolError("no C compiler for this computer: neither cc, gcc nor clang is installed", hint=remedy("cc"))


@cache
def native_flags(compiler: tuple[str, ...]) -> tuple[str, ...]:
    """Flags for the instructions of this x86 computer, floating point as written; none where ``compiler`` does not take them."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ()
    flags = ("-march=native", "-ffp-contract=off")
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        (Path(name) / "empty.c").write_text("int empty;\n", encoding="utf-8")
        try:
            compile_c([*compiler, *flags, "-c", "empty.c", "-o", "empty.o"], Path(name))
        except CompilerError:
            return ()
    return flags


def find_qemu(system: str) -> str:
    """The emulator ``qemu-system-<system>``."""
    command = f"qemu-system-{system}"
    if shutil.which(command) is None:
        raise ToolError(f"{command} is not installed", hint=remedy(command))
    return command


def remedy(command: str, otherwise: str = "") -> str:
    """How to get ``command``."""
    install = f"apt-get install --no-install-recommends {PACKAGES[command]}"
    return f"{install} (on Debian and Ubuntu){', ' if otherwise else ''}{otherwise}"


def compile_c(command: Sequence[str], folder: Path) -> None:
    """Run a compiler or linker in ``folder``. ToolError with what it said where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_COMPILE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{command[0]} did not finish in {_COMPILE_SECONDS} seconds", hint="is the network very large, or the machine busy?"
        ) from error
    except OSError as error:
        raise ToolError(f"cannot start {command[0]}: {error.strerror}", hint="`edgewright doctor` says what is missing") from error
    if done.returncode != 0:
        raise CompilerError(f"{Path(command[0]).name} failed: {first_errors(done.stderr)}", done.stderr)


class CompilerError(ToolError):
    """A compiler or linker refused; ``output`` is all it said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message, hint="was it emitted for this target? If so, please report the network")
        self.output = output


def first_errors(text: str, most: int = 3) -> str:
    """The first lines of a compiler's output that say error, or its last lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("collect2:")]
    errors = [line for line in lines if re.search(r"\b(error|undefined reference)\b", line)]
    return " | ".join((errors or lines[-most:])[:most]) or "it gave no reason"


def check_tools() -> list[Tool]:
    """Everything outside Python's required packages that Edgewright can use, found or not. Nothing is imported."""
    commands = {
        "cc": "running generated C on this computer; counting instructions under QEMU",
        "arm-none-eabi-gcc": "compiling for Cortex-M",
        "qemu-system-arm": "running and measuring on Cortex-M",
        "riscv64-unknown-elf-gcc": "compiling for RV32",
        "qemu-system-riscv32": "running and measuring on RV32",
        "aarch64-linux-gnu-gcc": "compiling for Cortex-A",
        "qemu-aarch64": "running on Cortex-A",
    }
    extras = {
        "ziglang": ("pip-toolchain", "compiling for Cortex-M and RV32 without a cross toolchain"),
        "unicorn": ("pip-toolchain", "running on Cortex-M0+ to M33 without QEMU"),
        "ethos-u-vela": ("ethos-u", "compiling .tflite for Ethos-U accelerators"),
        "pillow": ("images", "folders of images as data"),
        "tflite-micro": ("", "comparing with TensorFlow Lite Micro's own interpreter"),
    }
    tools = [Tool(name, _command_version(name), purpose, remedy(name)) for name, purpose in commands.items()]
    for name, (extra, purpose) in extras.items():
        how = f"pip install 'edgewright[{extra}]'" if extra else "pip install --no-deps --pre tflite-micro"
        tools.append(Tool(name, _package_version(name), purpose, how))
    return tools


def _gcc(target: Target, cross: str) -> Toolchain:
    libraries = ("--specs=picolibc.specs",) if cross == CROSS["riscv32"] else ()
    return Toolchain(
        name="gcc",
        compiler=(f"{cross}gcc", *target.gcc_flags, *libraries),
        firmware_flags=("-ffreestanding", "-fno-tree-loop-distribute-patterns"),
        link_flags=("-nostartfiles", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", "-static"),
        objdump=_objdump(target, cross),
    )


def _objdump(target: Target, cross: str) -> tuple[str, ...] | None:
    if shutil.which(f"{cross}objdump") is None:
        return None
    helium = ("-m", "armv8.1-m.main") if target.isa == "armv8.1-m.main" else ()
    return (f"{cross}objdump", "-d", "--no-show-raw-insn", *helium)


def _zig(target: Target) -> Toolchain:
    freestanding = Path(__file__).parent / "firmware" / "freestanding"
    return Toolchain(
        name="zig",
        compiler=(
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            f"--target={target.zig_target}",
            f"-mcpu={target.zig_cpu}",
            "-fno-sanitize=all",
            "-fno-unwind-tables",
            "-fno-asynchronous-unwind-tables",
            f"-I{freestanding}",
        ),
        firmware_flags=("-ffreestanding", "-fno-builtin"),
        link_flags=("-nostartfiles", "-Wl,--gc-sections", "-static"),
        objdump=None,
    )


def _command_version(command: str) -> str | None:
    if shutil.which(command) is None:
        return None
    try:
        done = subprocess.run(
            [command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return found[0] if done.returncode == 0 and found else None


def _package_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
