from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edgewright.errors import TargetError
from edgewright.targets.target import AccessEnergy, EnergyModel, Target, list_targets, load_target

BOARD = """
extends = "cortex-m4"
name = "mine"
title = "a board of mine"
kind = "board"
flash_bytes = 262144
ram_bytes = 65536
clock_hz = 48000000
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list_targets())
def test_built_in_targets_are_valid(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.title
    if target.linux is not None:
        assert target.qemu is None and target.gcc_flags and target.zig_target and target.zig_cpu and target.kernels[-1] == "portable"
    elif target.kind in ("core", "board"):
        assert target.qemu is not None and target.gcc_flags and target.flash_bytes and target.ram_bytes and target.memory_source
        assert target.kernels[-1] == "portable"
        assert target.stack_bytes <= target.ram_bytes // 4
    if target.kind == "board":
        assert target.clock_hz is not None
        assert target.qemu is not None
        assert target.flash_bytes is not None and target.flash_bytes <= target.qemu.flash_bytes
        assert target.ram_bytes is not None and target.ram_bytes <= target.qemu.ram_bytes
    if target.kind == "accelerator":
        assert target.compiler is not None and target.compiler.accelerator_config == name


def test_the_promised_targets_are_there() -> None:
    cores = {"cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85", "rv32imac"}
    assert list_targets()[0] == "host"
    assert cores | {"stm32f405", "nucleo-l4r5zi", "microbit", "raspberry-pi-pico", "ethos-u55-128"} <= set(list_targets())
    assert list_targets().index("ethos-u55-64") < list_targets().index("ethos-u55-128")


def test_coefficients_name_their_source() -> None:
    for target in map(load_target, list_targets()):
        for model in (target.cycles, target.energy):
            assert model is None or len(model.source) > 20


def test_energy_of_more_or_fewer_bytes_than_usual() -> None:
    access = AccessEnergy(memory="ram", picojoules_per_byte=10, least=5, most=40, typical=1)
    model = EnergyModel(source="a test", picojoules_per_cycle=100, least=90, most=110, memories=(access,))
    assert model.microjoules(1e6, {"ram": 1e6}) == pytest.approx((100, 90, 110))
    assert model.microjoules(1e6, {"ram": 3e6}) == pytest.approx((120, 100, 190))
    assert model.microjoules(1e6, {"ram": 0.5e6}, (0.9e6, 1.1e6)) == pytest.approx((95, 61, 118.5))
    assert model.microjoules(1e6, {}) == pytest.approx((100, 90, 110))
    plain = EnergyModel(source="a test", picojoules_per_cycle=100)
    assert plain.microjoules(1e6, {"ram": 3e6}) == (pytest.approx(100), None, None)
    board = load_target("stm32f405").model_copy(update={"energy": model})
    assert board.by_kind({"ram": (1, 2), "ccm": (4, 8), "flash": (16, 0)}) == {"ram": 15, "flash": 16}
    named = board.model_copy(update={"energy": model.model_copy(update={"memories": (access.model_copy(update={"memory": "ccm"}),)})})
    assert named.by_kind({"ram": (1, 2), "ccm": (4, 8)}) == {"ram": 3, "ccm": 12}


def test_every_microcontroller_has_a_model_of_its_cycles_with_a_range() -> None:
    for target in map(load_target, list_targets()):
        assert (target.cycles is not None) == (target.qemu is not None), target.name
        if target.cycles is not None:
            low, high = target.cycles.span(100_000) or (0, 0)
            assert 0 < low < 100_000 < high, target.name
            assert target.cycles.span(100_000, 0.1) == (pytest.approx(0.9 * low), pytest.approx(1.1 * high))


def test_energy_names_a_range_or_says_that_it_has_none() -> None:
    models = {target.name: target.energy for target in map(load_target, list_targets()) if target.energy is not None}
    assert {"nucleo-l4r5zi", "nano33ble", "stm32f405", "sparkfun-edge"} <= set(models)
    for name, model in models.items():
        if name != "nucleo-l412kb":
            assert model.least is not None and model.most is not None and model.least < model.picojoules_per_cycle < model.most, name


def test_a_target_is_frozen() -> None:
    with pytest.raises(ValidationError):
        load_target("host").name = "other"  # type: ignore[misc]


def test_an_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(TargetError, match="unknown target 'cortex-m44'") as caught:
        load_target("cortex-m44")
    assert "did you mean 'cortex-m4'" in caught.value.hint and "edgewright targets" in caught.value.hint
    with pytest.raises(TargetError) as caught:
        load_target("qqqqqqqq")
    assert "did you mean" not in caught.value.hint


def test_what_the_firmware_reserves(tmp_path: Path) -> None:
    text = 'extends = "cortex-m4"\nname = "mine"\n[[reserved]]\nname = "radio stack"\nsize_bytes = 20480\n'
    target = load_target(write(tmp_path, text)).reserving(["boot loader = 16384@flash", "log=100"])
    assert (target.reserved_bytes("ram"), target.reserved_bytes("flash")) == (20580, 16384)
    assert [item.name for item in target.reserved] == ["radio stack", "boot loader", "log"]
    for wrong in ("radio", "radio=", "radio=many", "radio=-1", "=5", "radio=5@rom", "\x1b[2J=5"):
        with pytest.raises(TargetError, match="reserves nothing"):
            target.reserving([wrong])


def test_memories_beside_ram_and_flash(tmp_path: Path) -> None:
    region = '[[regions]]\nname = "{}"\nsize_bytes = {}\nmachine_origin = {}\nsource = "a test"\n'
    start = 'extends = "cortex-m4"\nname = "mine"\nram_bytes = 65536\nflash_bytes = 131072\n'
    target = load_target(write(tmp_path, start + region.format("ccm", 4096, 0x21000000)))
    assert (target.ram_bytes, target.all_ram_bytes, target.all_flash_bytes) == (65536, 69632, 131072)
    flash = load_target(write(tmp_path, start + region.format("qspi", 4096, 0x21000000) + 'memory = "flash"\n'))
    assert (flash.all_ram_bytes, flash.all_flash_bytes) == (65536, 135168)
    for regions, message in (
        (region.format("ram", 4096, 0x21000000), "more than one memory is called 'ram'"),
        (2 * region.format("ccm", 4096, 0x21000000), "more than one memory is called 'ccm'"),
        (region.format("ccm", 4096, 0x20001000), "'ccm' lies over 'ram'"),
        (region.format("CCM;", 4096, 0x21000000), "should match pattern"),
        ('[[regions]]\nname = "ccm"\nsize_bytes = 4096\nsource = "a test"\n', "'ccm' has no machine_origin"),
    ):
        with pytest.raises(TargetError, match=message):
            load_target(write(tmp_path, start + regions))


def test_a_file_of_ones_own_extends_a_core(tmp_path: Path) -> None:
    for place in (write(tmp_path, BOARD), str(tmp_path / "mine.toml")):
        target = load_target(place)
        assert isinstance(target, Target)
        assert (target.name, target.ram_bytes, target.core, target.kernels) == ("mine", 65536, "cortex-m4", ("dsp", "portable"))
        assert target.cycles == load_target("cortex-m4").cycles


def test_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    target = load_target(write(tmp_path, BOARD + '[qemu]\nname = "netduinoplus2"\nflash_origin = 0x08000000\n'))
    assert target.qemu is not None
    assert (target.qemu.name, target.qemu.flash_origin, target.qemu.ram_origin) == ("netduinoplus2", 0x08000000, 0x20000000)


def test_a_file_may_extend_another_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path, BOARD, "base.toml")
    target = load_target(write(tmp_path, 'extends = "base.toml"\nname = "smaller"\nram_bytes = 16384\n'))
    assert (target.name, target.ram_bytes, target.flash_bytes) == ("smaller", 16384, 262144)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not TOML"),
        ("\x00", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
        ("x = 1\n" * 20000, "longer than 65536 bytes"),
        ('extends = "cortex-m9"', "extends 'cortex-m9', which is not a target"),
        ("extends = 3", "extends is 3"),
        ('extends = "mine.toml"', "extend each other in a circle: mine.toml → mine.toml"),
        ('extends = "../../other.toml"', "cannot read the target"),
        (BOARD + "ram = 3\n", "ram: Extra inputs are not permitted"),
        (BOARD + "stack_bytes = 128\n", "stack_bytes: Input should be greater than or equal to 256"),
        (BOARD.replace("65536", "-1"), "ram_bytes: Input should be greater than 0"),
        (BOARD.replace("65536", '"64K"'), "ram_bytes: Input should be a valid integer"),
        (BOARD + 'gcc_flags = ["-fplugin=evil.so"]\n', "gcc_flags.0: String should match"),
        (BOARD + 'gcc_flags = ["-mcpu=cortex-m4 -fplugin=evil.so"]\n', "gcc_flags.0: String should match"),
        (BOARD + '[qemu]\nname = "virt,accel=kvm"\n', "qemu.name: String should match"),
        (BOARD + "[energy]\npicojoules_per_cycle = 3.0\n", "energy.source: Field required"),
        ('name = "bare"\n', "title: Field required"),
    ],
)
def test_bad_files_are_target_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(write(tmp_path, text))
    assert message in caught.value.message
    assert caught.value.hint


def test_a_missing_file_or_a_folder_is_a_target_error(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("absent.toml", "folder.toml"):
        with pytest.raises(TargetError, match="cannot read the target"):
            load_target(tmp_path / name)


def test_size_first_takes_other_kernels_and_another_level_of_optimization() -> None:
    target = load_target("cortex-m4")
    assert target.preferring("speed") is target
    small = target.preferring("size")
    assert (small.kernels, small.optimization, target.optimization) == (("size", "portable"), "-Os", "-O2")
    assert load_target("ethos-u55-128").preferring("size").kernels == load_target("ethos-u55-128").kernels
    with pytest.raises(TargetError, match="'beauty' is nothing to prefer"):
        target.preferring("beauty")
