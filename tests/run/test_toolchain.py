from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import ToolError
from edgewright.run import toolchain
from edgewright.run.toolchain import check_tools, compile_c, find_toolchain, first_errors
from edgewright.targets.target import load_target


def test_every_tool_has_a_purpose_and_a_remedy() -> None:
    tools = check_tools()
    assert {"cc", "arm-none-eabi-gcc", "qemu-system-riscv32", "ziglang", "ethos-u-vela"} <= {tool.name for tool in tools}
    assert all(tool.purpose and tool.remedy for tool in tools)


def test_missing_tools_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise toolchain.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(toolchain.shutil, "which", lambda command: None)
    monkeypatch.setattr(toolchain.metadata, "version", absent)
    assert all(tool.version is None for tool in check_tools())


def test_gnu_is_preferred_and_zig_can_be_insisted_on(needs_arm: None, needs_pip_toolchain: None) -> None:
    target = load_target("cortex-m4")
    assert find_toolchain(target).name == find_toolchain(target, "gcc").name == "gcc"
    assert find_toolchain(target, "zig").name == "zig"
    assert "-mcpu=cortex-m4" in find_toolchain(target).compiler


def test_zig_steps_in_where_there_is_no_cross_compiler(monkeypatch: pytest.MonkeyPatch, needs_pip_toolchain: None) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda command: None)
    assert find_toolchain(load_target("cortex-m33")).name == "zig"
    with pytest.raises(ToolError, match="arm-none-eabi-gcc is not installed"):
        find_toolchain(load_target("cortex-m33"), "gcc")
    assert "zig" in " ".join(toolchain.find_host_compiler())


def test_targets_that_are_no_devices_have_no_toolchain() -> None:
    with pytest.raises(ToolError, match="ethos-u55-128 is not a device"):
        find_toolchain(load_target("ethos-u55-128"))


def test_the_compilers_reason_is_given(needs_cc: None, tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int f(void) { return undeclared; }\n")
    with pytest.raises(ToolError, match="cc failed: x.c:1:.*error: .undeclared. undeclared"):
        compile_c(["cc", "-c", "x.c"], tmp_path)
    with pytest.raises(ToolError, match="cannot start no-such-compiler"):
        compile_c(["no-such-compiler"], tmp_path)


def test_the_first_errors_are_picked() -> None:
    assert first_errors("note: x\na.c:1: error: one\na.c:2: error: two\n") == "a.c:1: error: one | a.c:2: error: two"
    assert first_errors("ld: section too large\ncollect2: error: ld returned 1 exit status\n") == "ld: section too large"
    assert first_errors("") == "it gave no reason"
