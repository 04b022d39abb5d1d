from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from edgewright.errors import TargetError
from edgewright.run.build import FIRMWARE_BYTES, FIRMWARE_RAM_BYTES, VECTORS_BYTES, linker_script, write_sources
from edgewright.targets.target import list_targets, load_target
from tests.run import tiny

DEVICES = [name for name in list_targets() if load_target(name).qemu is not None]


def regions(script: str) -> dict[str, range]:
    found = re.findall(r"^\s+(\w+) \(r[wx]\)\s*: ORIGIN = (\d+), LENGTH = (\d+)$", script, re.MULTILINE)
    return {name: range(int(origin), int(origin) + int(length)) for name, origin, length in found}


@pytest.mark.parametrize("name", DEVICES)
def test_regions_are_within_the_machine_and_apart(name: str) -> None:
    target = load_target(name)
    machine = target.qemu
    assert machine is not None and target.flash_bytes is not None and target.ram_bytes is not None
    script = linker_script(target, 2048)
    found = regions(script)
    assert set(found) == {"VECTORS", "FLASH", "FIRMWARE", "RAM", "FIRMWARE_RAM"}
    ordered = sorted(found.values(), key=lambda region: region.start)
    assert all(first.stop <= second.start for first, second in itertools.pairwise(ordered))
    assert found["FIRMWARE"].stop == machine.flash_origin + machine.flash_bytes
    assert found["FIRMWARE_RAM"].stop == machine.ram_origin + machine.ram_bytes
    separate = machine.vectors_origin is not None
    own = 0 if separate else VECTORS_BYTES
    assert len(found["FLASH"]) + own == min(target.flash_bytes, machine.flash_bytes - FIRMWARE_BYTES)
    assert len(found["RAM"]) == min(target.ram_bytes, machine.ram_bytes - FIRMWARE_RAM_BYTES)


def test_a_board_smaller_than_its_machine_keeps_all_of_its_memories() -> None:
    found = regions(linker_script(load_target("nucleo-l412kb"), 2048))
    assert len(found["RAM"]) == 40960 and len(found["FLASH"]) + VECTORS_BYTES == 131072


def test_targets_without_memories_are_refused() -> None:
    with pytest.raises(TargetError, match="host has no memories to link for"):
        linker_script(load_target("host"), 4096)


def test_a_machine_without_room_for_the_driver_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text('extends = "cortex-m3"\nname = "small"\nram_bytes = 1024\n[qemu]\nram_bytes = 1024\n', encoding="utf-8")
    with pytest.raises(TargetError, match="too small to run anything"):
        linker_script(load_target(path), 256)


def test_sources_are_found_by_their_header(tmp_path: Path) -> None:
    sources = write_sources(tiny.files(), tmp_path)
    assert sources.prefix == "tiny" and sources.c_files == ("tiny.c",)
    assert "-DEW_INPUTS=TINY_INPUTS" in sources.defines
    assert (tmp_path / "kernels" / "dense.h").is_file()
