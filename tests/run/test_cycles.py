from __future__ import annotations

import pytest

from edgewright.errors import ToolError
from edgewright.run.cycles import Disassembly, modelled_cycles
from edgewright.run.profile import Block, Count, Stay
from edgewright.targets.target import load_target

M4 = load_target("cortex-m4").cycles


def cycles(lines: list[tuple[int, str]], *, times: int = 1, then_2: int = 0, then_4: int = 0) -> int:
    """Of one block whose lines are (bytes, instruction)."""
    assert M4 is not None
    text, addresses, address = "", [], 0x100
    for size, line in lines:
        mnemonic, _, operands = line.partition(" ")
        text += f"     {address:x}:\t{mnemonic}\t{operands}\n"
        addresses.append(address)
        address += size
    text += f"     {address:x}:\tnop\n"
    stay = Stay(0, {Block(addresses[0], addresses[-1], len(lines)): Count(times, then_2, then_4)})
    return modelled_cycles(stay, Disassembly(text), M4)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("adds r0, r1, r2", 1),
        ("smlad.w r0, r1, r2, r3", 1),
        ("smull r0, r1, r2, r3", 1),
        ("ldr r0, [r1, #4]", 2),
        ("ldrsb.w r0, [r1, r2]", 2),
        ("ldrlt r0, [r1, #4]", 2),
        ("str r0, [r1]", 1),
        ("ldrd r0, r1, [r2]", 3),
        ("strd r0, r1, [r2]", 3),
        ("ldmia.w r0!, {r1, r2, r3, r4}", 5),
        ("push {r4, r5, r6, r7, lr}", 6),
        ("stmdb sp!, {r4-r11, lr}", 10),
        ("stmdb sp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}", 10),
        ("udiv r0, r1, r2", 7),
        ("ite eq", 0),
        ("vldr s0, [r0]", 2),
        ("vadd.f32 s0, s1, s2", 1),
        ("vmla.f32 s0, s1, s2", 3),
        ("vdiv.f32 s0, s1, s2", 14),
    ],
)
def test_classes(line: str, expected: int) -> None:
    assert cycles([(2, line)], times=3, then_2=3) == 3 * expected


def test_loads_after_memory_are_pipelined() -> None:
    assert cycles([(2, "ldr r0, [r1]"), (2, "ldr r2, [r3]"), (2, "adds r0, #1"), (2, "ldr r0, [r1]")]) == 2 + 1 + 1 + 2
    assert cycles([(2, "str r0, [r1]"), (2, "ldr r2, [r3]")]) == 1 + 1


def test_a_taken_branch_refills_the_pipeline() -> None:
    assert cycles([(2, "subs r0, #1"), (2, "bne.n 100 <x>")], times=10, then_2=1) == 10 * 2 + 9 * 2
    assert cycles([(4, "bne.w 100 <x>")], times=10, then_4=4) == 10 + 6 * 2
    assert cycles([(2, "pop {r4, pc}")], times=5) == 5 * 3 + 5 * 2
    assert cycles([(2, "bx lr")], times=5) == 5 + 10
    assert cycles([(2, "adds r0, #1")], times=5) == 5, "a block that only ends at the end of a page"


def test_comments_do_not_count_as_operands() -> None:
    assert cycles([(4, "ldr.w r0, [pc, #8]\t@ (10c <pc+0x4>)")]) == 2


def test_disassembly_and_execution_must_agree() -> None:
    assert M4 is not None
    stay = Stay(0, {Block(0x100, 0x104, 3): Count(1)})
    with pytest.raises(ToolError, match="has 3 instructions, its disassembly 1"):
        modelled_cycles(stay, Disassembly("     100:\tnop\n"), M4)
