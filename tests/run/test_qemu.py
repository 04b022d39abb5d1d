from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edgewright.errors import BudgetError, DataError, TargetError, ToolError
from edgewright.run import toolchain
from edgewright.run.build import build_device, write_sources
from edgewright.run.elf import Elf
from edgewright.run.exchange import write_inputs
from edgewright.run.profile import REGION_DRIVER
from edgewright.run.qemu import run_qemu
from edgewright.run.toolchain import find_toolchain
from edgewright.targets.target import Target, load_target
from tests.run import tiny

ARM = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "microbit", "stm32f405")
RISCV = ("rv32imac", "longan-nano")
DEVICES = (*ARM, *RISCV)
CORES = tuple(name for name in DEVICES if name.startswith(("cortex", "rv32")))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Target:
    request.getfixturevalue("needs_arm" if request.param in ARM else "needs_riscv")
    return load_target(request.param)


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_outputs_counts_stack_and_sizes(device: Target) -> None:
    arrays = tiny.inputs()
    run = run_qemu(tiny.files(), arrays, device, outputs=tiny.OUTPUTS, layer_names=tiny.LAYERS, counted_inferences=3)
    tiny.check(run.outputs, arrays)
    assert run.inferences == 5 and run.where == device.name and run.layer_names == tiny.LAYERS

    assert run.instructions is not None and len(run.instructions) == 3
    assert len(set(run.instructions)) == 1, "nothing in this network depends on its data"
    assert run.instructions_per_layer is not None and len(run.instructions_per_layer) == 3
    # The call of the next layer's marker is counted: two or three instructions.
    assert tiny.LOOP_INSTRUCTIONS <= run.instructions_per_layer[1] <= tiny.LOOP_INSTRUCTIONS + 4
    # Markers add their calls, and keep the compiler from moving work across them.
    assert abs(sum(run.instructions_per_layer) - run.instructions[0]) < 16
    assert run.instructions_per_function is not None
    assert sum(run.instructions_per_function.values()) == run.instructions[0]
    assert next(iter(run.instructions_per_function)) == "tiny_run"
    assert run.startup_instructions is not None and 20 < run.startup_instructions < 300

    assert run.sections is not None
    assert list(run.sections) == ["code", "library", "rodata", "data", "bss"]
    assert run.sections["rodata"] == 64 and run.sections["data"] == 4 and 84 <= run.sections["bss"] <= 96
    assert 150 < run.sections["code"] < 600
    assert run.peak_stack_bytes is not None and 16 <= run.peak_stack_bytes <= 128
    assert run.ram_bytes == run.sections["data"] + run.sections["bss"] + run.peak_stack_bytes
    assert run.flash_bytes == sum(run.sections.values()) - run.sections["bss"]


@pytest.mark.parametrize(
    "device",
    [name if name in ("cortex-m4", "cortex-m55", "rv32imac") else pytest.param(name, marks=pytest.mark.slow) for name in CORES],
    indirect=True,
)
def test_counts_are_those_of_an_execution_one_instruction_at_a_time(device: Target, tmp_path: Path) -> None:
    """QEMU's own log of every instruction, the network's picked out by address, is the judge."""
    assert device.qemu is not None
    chain = find_toolchain(device)
    program = build_device(chain, device, write_sources(tiny.files(), tmp_path), tmp_path, stack_bytes=4096, profile=False, flags=("-O2",))
    write_inputs(tmp_path, tiny.inputs(1), True)
    bios = ("-bios", "none") if device.qemu.system == "riscv32" else ()
    options = ("-display", "none", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native", *bios)
    help_text = subprocess.run([f"qemu-system-{device.qemu.system}", "--help"], capture_output=True, text=True, check=True).stdout
    single_step = ("-singlestep",) if "-singlestep" in help_text else ("-accel", "tcg,one-insn-per-tb=on")
    command = (f"qemu-system-{device.qemu.system}", "-M", device.qemu.name, *options, *single_step, "-d", "exec,nochain", "-D", "log")
    subprocess.run([*command, "-kernel", program.name], cwd=tmp_path, check=True, timeout=60)
    executed = [int(address, 16) for address in re.findall(r"\[[0-9a-f]+/([0-9a-f]+)/", (tmp_path / "log").read_text())]
    elf = Elf.read(program)
    firmware = range(elf.address("ew_firmware_start"), elf.address("ew_firmware_end"))
    begin = executed.index(elf.address("ew_mark_table"))
    end = begin + executed[begin:].index(elf.address("ew_mark_table") + 2 * REGION_DRIVER)
    counted = sum(address not in firmware for address in executed[begin:end])
    assert run_qemu(tiny.files(), tiny.inputs(1), device).instructions == (counted,)


@pytest.mark.parametrize("device", ["cortex-m4", "rv32imac"], indirect=True)
def test_two_boots_are_equal(device: Target) -> None:
    first, second = (run_qemu(tiny.files(), tiny.inputs(2), device, outputs=tiny.OUTPUTS) for _ in range(2))
    assert (first.instructions, first.instructions_per_layer, first.cycles_modelled, first.peak_stack_bytes) == (
        second.instructions,
        second.instructions_per_layer,
        second.cycles_modelled,
        second.peak_stack_bytes,
    )


@pytest.mark.parametrize("device", ["cortex-m4", "rv32imac"], indirect=True)
def test_state_is_kept_when_the_samples_are_a_stream(device: Target) -> None:
    arrays = tiny.inputs()
    run = run_qemu(tiny.files(), arrays, device, outputs=tiny.OUTPUTS, reset_state=False, profile=False)
    tiny.check(run.outputs, arrays, reset_state=False)
    assert run.instructions is None and run.instructions_per_layer is None and run.startup_instructions is None


@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m33", "rv32imac"], indirect=True)
def test_the_deepest_stack_is_what_the_compiler_says(device: Target, tmp_path: Path) -> None:
    files = tiny.large_frame(1000)
    run = run_qemu(files, tiny.inputs(2), device, profile=False)
    sources = write_sources(files, tmp_path)
    command = (*find_toolchain(device).compiler, "-std=c99", "-O2", "-fstack-usage", "-I", ".", "-c", *sources.c_files, "-o", "x.o")
    subprocess.run(command, cwd=tmp_path, check=True)
    frames = {line.split(":")[3].split("\t")[0]: int(line.split("\t")[1]) for line in (tmp_path / "x.su").read_text().splitlines()}
    assert run.peak_stack_bytes is not None
    assert abs(run.peak_stack_bytes - frames["tiny_run"] - frames["large"]) <= 8, frames


def test_cycles_latency_and_energy_are_modelled_where_the_target_has_coefficients(needs_arm: None) -> None:
    unknown = run_qemu(tiny.files(), tiny.inputs(1), load_target("cortex-m3").model_copy(update={"cycles": None}))
    assert unknown.cycles_modelled is None and unknown.cycles_per_layer is None and unknown.cycles_range is None
    m3 = run_qemu(tiny.files(), tiny.inputs(1), load_target("cortex-m3"))
    assert m3.cycles_modelled is not None and m3.latency_modelled_ms is None
    assert m3.cycles_range == (round(0.88 * m3.cycles_modelled), round(1.2 * m3.cycles_modelled))
    board = run_qemu(tiny.files(), tiny.inputs(1), load_target("nucleo-l412kb"))
    assert board.cycles_modelled is not None and board.cycles_per_layer is not None and board.instructions is not None
    assert board.instructions[0] < board.cycles_modelled < 3 * board.instructions[0]
    # 1,000 turns of SUBS and a branch that is taken but once: 1 + 1 + 2, less the last 2; then MOVS, LSLS and the marker's call.
    assert 4000 <= board.cycles_per_layer[1] <= 4010
    assert board.latency_modelled_ms == pytest.approx(board.cycles_modelled / 80e3)
    assert board.energy_modelled_uj == pytest.approx(board.cycles_modelled * 260.7e-6) and board.energy_range_uj is None


def test_bytes_are_counted_in_the_memory_that_they_lie_in(needs_arm: None) -> None:
    """Of tiny's 64 bytes of constants, its arena, and the stack."""
    run = run_qemu(tiny.files(), tiny.inputs(1), load_target("stm32f405"))
    moved = run.moved_per_layer
    assert moved is not None and set(moved) == {"flash", "ram", "ccm"}
    assert not any(written for _, written in moved["flash"]) and not any(any(sizes) for sizes in moved["ccm"])
    assert sum(read for read, _ in moved["flash"]) >= 64 and all(len(layers) == len(moved["ram"]) for layers in moved.values())
    assert sum(read for read, _ in moved["ram"]) > 0 < sum(written for _, written in moved["ram"])


@pytest.mark.parametrize(
    "device", ["cortex-m3", "cortex-m7", "cortex-m33", "cortex-m55", "microbit", "stm32f405", "rv32imac"], indirect=True
)
def test_a_stack_overflow_is_found(device: Target) -> None:
    with pytest.raises(BudgetError, match="the stack overflowed"):
        run_qemu(tiny.too_deep(), tiny.inputs(1), device, profile=False, stack_bytes=2048)


@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m33", "rv32imac"], indirect=True)
def test_a_frame_beyond_the_stack_is_found(device: Target) -> None:
    with pytest.raises(BudgetError, match="the stack overflowed") as caught:
        run_qemu(tiny.large_frame(5000), tiny.inputs(1), device, profile=False)
    assert "stack_bytes" in caught.value.hint
    assert run_qemu(tiny.large_frame(5000), tiny.inputs(1), device, profile=False, stack_bytes=6000).peak_stack_bytes


def test_the_limits_of_the_memories_hold_at_link_time(needs_arm: None) -> None:
    board = load_target("nucleo-l412kb")
    # 40,960 bytes less 2,048 of stack, .data and tiny_total leave room for 9,700 words and not for 9,800.
    assert run_qemu(tiny.more_ram(9700), tiny.inputs(1), board, profile=False).inferences == 1
    with pytest.raises(BudgetError, match=r"does not fit in nucleo-l412kb: RAM of 40960 bytes is exceeded by 3\d\d; 2048 bytes of the RAM"):
        run_qemu(tiny.more_ram(9800), tiny.inputs(1), board, profile=False)
    with pytest.raises(BudgetError, match=r"FLASH of 131072 bytes is exceeded by \d+\n"):
        run_qemu(tiny.more_flash(140_000), tiny.inputs(1), board, profile=False)
    both = tiny.more_flash(140_000)
    both["tiny.c"] = both["tiny.c"].replace(b"arena[TINY_ARENA_BYTES / 4]", b"arena[20000]")
    with pytest.raises(BudgetError, match="RAM of 40960 bytes.*FLASH of 131072|FLASH of 131072 bytes.*RAM of 40960"):
        run_qemu(both, tiny.inputs(1), board, profile=False)


@pytest.mark.parametrize("device", ["cortex-m0plus", "cortex-m33", "rv32imac"], indirect=True)
def test_a_fault_names_the_function(device: Target) -> None:
    with pytest.raises(ToolError, match=r"faulted at 0x[0-9a-f]+ in tiny_run"):
        run_qemu(tiny.undefined_instruction(), tiny.inputs(1), device, profile=False)


@pytest.mark.parametrize("device", ["cortex-m4", "rv32imac"], indirect=True)
def test_a_hang_is_a_tool_error(device: Target) -> None:
    with pytest.raises(ToolError, match="did not finish on .* in 1 seconds"):
        run_qemu(tiny.hanging(), tiny.inputs(1), device, timeout_seconds=1)


@pytest.mark.parametrize("device", ["cortex-m0plus", "rv32imac"], indirect=True)
def test_an_unaligned_access_that_qemu_allows_is_found(device: Target) -> None:
    with pytest.raises(ToolError, match="an unaligned access at 0x[0-9a-f]+ in tiny_run"):
        run_qemu(tiny.unaligned(), tiny.inputs(1), device)


def test_an_unaligned_access_that_the_core_allows_passes(needs_arm: None) -> None:
    assert run_qemu(tiny.unaligned(), tiny.inputs(1), load_target("cortex-m4")).inferences == 1


def test_writing_to_the_flash_of_rv32_faults(needs_riscv: None) -> None:
    files = tiny.with_statements(
        "    {\n        volatile int8_t *at = (volatile int8_t *)(uintptr_t)tiny_weights;\n        *at = 1;\n    }\n"
    )
    with pytest.raises(ToolError, match="faulted at"):
        run_qemu(files, tiny.inputs(1), load_target("rv32imac"), profile=False)


def test_wrong_inputs_say_what_the_network_takes(needs_arm: None) -> None:
    first, second = tiny.inputs()
    with pytest.raises(DataError, match="input 0 has 4 bytes a sample, the network takes 16"):
        run_qemu(tiny.files(), [first[:, :4], second], load_target("cortex-m4"))
    with pytest.raises(DataError, match="3 inputs were given, the network takes 2"):
        run_qemu(tiny.files(), [first, second, second], load_target("cortex-m4"))


def test_targets_that_are_no_devices_are_refused() -> None:
    for name in ("host", "ethos-u55-128"):
        with pytest.raises(TargetError, match=f"{name} is not a device that QEMU emulates"):
            run_qemu(tiny.files(), tiny.inputs(), load_target(name))


def test_missing_tools_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(toolchain.shutil, "which", lambda command: None)
    with pytest.raises(ToolError, match="qemu-system-arm is not installed") as caught:
        run_qemu(tiny.files(), tiny.inputs(), load_target("cortex-m4"))
    assert "apt-get install --no-install-recommends qemu-system-arm" in caught.value.hint
    monkeypatch.setattr(toolchain.shutil, "which", lambda command: command if command.startswith("qemu") else None)
    with pytest.raises(ToolError, match="arm-none-eabi-gcc is not installed") as caught:
        run_qemu(tiny.files(), tiny.inputs(), load_target("cortex-m4"))
    assert "gcc-arm-none-eabi" in caught.value.hint and "pip-toolchain" in caught.value.hint
    with pytest.raises(ToolError, match="riscv64-unknown-elf-gcc is not installed") as caught:
        run_qemu(tiny.files(), tiny.inputs(), load_target("rv32imac"))
    assert "picolibc-riscv64-unknown-elf" in caught.value.hint


def test_more_layers_than_the_marker_has_places_is_no_silent_miscount(needs_arm: None) -> None:
    with pytest.raises(ToolError, match="faulted at .* in ew_mark"):
        run_qemu(tiny.replaced("EW_MARK(3);", "EW_MARK(5000);"), tiny.inputs(1), load_target("cortex-m4"))
