from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import ToolError
from edgewright.run.build import build_device, write_sources
from edgewright.run.elf import Elf
from edgewright.run.profile import (
    REGION_DRIVER,
    REGION_STARTUP,
    Block,
    Count,
    Stay,
    by_layer,
    inferences,
    merged,
    plugin_library,
    read_stays,
)
from edgewright.run.size import largest_symbols, section_sizes
from edgewright.run.toolchain import find_toolchain
from edgewright.targets.target import load_target
from tests.run import tiny


@pytest.fixture(scope="module")
def elf(needs_arm: None, tmp_path_factory: pytest.TempPathFactory) -> Elf:
    folder = tmp_path_factory.mktemp("elf")
    target = load_target("cortex-m4")
    sources = write_sources(tiny.files(), folder)
    return Elf.read(build_device(find_toolchain(target), target, sources, folder, stack_bytes=4096, profile=False, flags=("-O2",)))


def test_symbols_and_sections(elf: Elf) -> None:
    run = next(symbol for symbol in elf.symbols if symbol.name == "tiny_run")
    assert run.is_function and run.section == ".text" and run.address % 2 == 0
    assert any(start == run.address and end == run.address + run.size for start, end, name in elf.functions() if name == "tiny_run")
    assert elf.address("ew_mark_table") + 2 * 4096 == elf.address("ew_mark_end")
    assert [symbol.name for symbol in largest_symbols(elf, "bss", 1)] == ["arena"]
    assert largest_symbols(elf, "code", 1)[0].name == "tiny_run"
    assert section_sizes(elf)["rodata"] == largest_symbols(elf, "rodata")[0].size == 64
    assert sum(len(data) for _, data in elf.segments()) > 8192
    with pytest.raises(ToolError, match="no symbol 'nothing'"):
        elf.address("nothing")


def test_what_is_not_elf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x7fELF\x02\x01")
    with pytest.raises(ToolError, match="not a 32-bit little-endian ELF"):
        Elf.read(tmp_path / "x")


def test_blocks_of_the_driver_count_only_at_the_start(elf: Elf, tmp_path: Path) -> None:
    driver, network = elf.address("ew_reset"), elf.address("tiny_run")
    path = tmp_path / "blocks"
    path.write_text(
        f"R {REGION_STARTUP}\nB {driver:x} {driver + 2:x} 2 1 0 0\nR {REGION_DRIVER}\nB {driver:x} {driver + 2:x} 2 9 0 0\n"
        f"R 0\nB {driver:x} {driver + 2:x} 2 9 0 0\nB {network:x} {network + 4:x} 3 5 1 2\nB {network:x} {network + 4:x} 3 2 0 1\n"
        f"U {driver:x} 7\nU {network:x} 4\nE\n"
    )
    start, driving, running = read_stays(path, elf)
    assert start.instructions == 2 and driving.instructions == 0
    assert running.blocks == {Block(network, network + 4, 3): Count(7, 1, 3)}
    assert running.instructions == 21 and running.unaligned == {network: 4}


def test_an_unfinished_profile_is_refused(elf: Elf, tmp_path: Path) -> None:
    for text in ("", "R 0\n"):
        (tmp_path / "blocks").write_text(text)
        with pytest.raises(ToolError, match="not complete"):
            read_stays(tmp_path / "blocks", elf)
    with pytest.raises(ToolError, match="not complete"):
        read_stays(tmp_path / "absent", elf)


def test_stays_become_inferences_and_layers() -> None:
    def stay(region: int, times: int) -> Stay:
        return Stay(region, {Block(16, 16, 1): Count(times)})

    driving = (REGION_DRIVER, 9)
    regions = [(REGION_STARTUP, 50), driving, (0, 1), (1, 10), (3, 30), (1, 5), (0, 2), driving, (0, 7), driving]
    first, second = inferences(stay(*region) for region in regions)
    assert merged(first).instructions == 48 and merged(second).instructions == 7
    assert [layer.instructions for layer in by_layer(first)] == [15, 0, 30]
    assert by_layer(second) == []


def test_the_plugin_builds_for_either_interface(needs_cc: None) -> None:
    assert plugin_library(1) is plugin_library(1)
    assert plugin_library(1)[:4] == plugin_library(2)[:4] == b"\x7fELF"
    assert plugin_library(1) != plugin_library(2)
