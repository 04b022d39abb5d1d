"""Instructions by class and by the registers that they read and write."""

from __future__ import annotations

import pytest

from edgewright.run.instruction import Instruction


def parse(line: str) -> Instruction:
    mnemonic, _, operands = line.partition(" ")
    return Instruction(0x100, mnemonic, operands)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ldrsb r0, [r1, r2]", "load"),
        ("ldrlt r0, [r1]", "load"),
        ("lbu a0, 0(a1)", "load"),
        ("strb r0, [r1]", "store"),
        ("sw a0, 4(sp)", "store"),
        ("sub r0, r1", "other"),
        ("ldrd r0, r1, [r2]", "load double"),
        ("pop {r4, pc}", "load multiple"),
        ("vpush {d8, d9}", "store multiple"),
        ("mul r0, r1", "multiply"),
        ("muls r0, r1", "multiply"),
        ("mul a0, a1, a2", "multiply"),
        ("mulhsu a0, a1, a2", "multiply long"),
        ("smull r0, r1, r2, r3", "multiply long"),
        ("smmlar r0, r1, r2, r3", "multiply long"),
        ("smlal r0, r1, r2, r3", "multiply long accumulate"),
        ("smlad r0, r1, r2, r3", "multiply accumulate"),
        ("mla r0, r1, r2, r3", "multiply accumulate"),
        ("sxtb16 r0, r1, ror #8", "simd"),
        ("sxtb r0, r1", "other"),
        ("udiv r0, r1, r2", "divide"),
        ("remu a0, a1, a2", "divide"),
        ("bge 100 <x>", "branch"),
        ("bgeu a0, a1, 100", "branch"),
        ("bic r0, r1, r2", "other"),
        ("vldrb.u8 q0, [r3], #16", "vector load"),
        ("vldrbt.s32 q0, [r3]", "vector load"),
        ("vldr s0, [r3]", "load"),
        ("vstrw.32 q0, [r3]", "vector store"),
        ("vmlava.s8 r0, q0, q2", "vector multiply"),
        ("vqrdmulh.s32 q0, q0, q4", "vector multiply"),
        ("vadd.i32 q0, q1, q2", "vector"),
        ("vadd.f32 s0, s1, s2", "float"),
        ("vmla.f32 s0, s1, s2", "float multiply accumulate"),
        ("vpst", "if then"),
        ("letp lr, 100 <x>", "loop end"),
        ("le lr, 100 <x>", "loop end"),
        ("ble 100 <x>", "branch"),
    ],
)
def test_classes(line: str, kind: str) -> None:
    assert parse(line).kind == kind


@pytest.mark.parametrize(
    ("line", "read", "written", "accumulated"),
    [
        ("adds r0, #1", "r0", "r0", ""),
        ("add.w r0, r1, fp, lsl #2", "r1 r11", "r0", ""),
        ("mov r0, r1", "r1", "r0", ""),
        ("bic r0, r1, r2", "r1 r2", "r0", ""),
        ("cmp r0, r1", "r0 r1", "", ""),
        ("ldr r0, [r1, r2]", "r1 r2", "r0", ""),
        ("str r0, [r1]", "r0 r1", "", ""),
        ("ldrd ip, lr, [sl], #8", "r10", "r12 r14", ""),
        ("pop {r4, r5, pc}", "", "r4 r5 r15", ""),
        ("stmia r0!, {r4-r6}", "r0 r4 r5 r6", "", ""),
        ("smlad r0, r1, r2, r0", "r1 r2", "r0", "r0"),
        ("smlal r0, r1, r2, r3", "r2 r3", "r0 r1", "r0 r1"),
        ("vmlava.s8 r0, q0, q2", "q0 q2", "r0", "r0"),
        ("vmla.s32 q3, q7, r7", "q7 r7", "q3", "q3"),
        ("vldrb.u8 q0, [r0]", "r0", "q0", ""),
        ("vqmovnb.s32 q0, q1", "q0 q1", "q0", ""),
    ],
)
def test_registers(line: str, read: str, written: str, accumulated: str) -> None:
    found = parse(line)
    assert [sorted(names) for names in (found.read, found.written, found.accumulated)] == [
        sorted(names.split()) for names in (read, written, accumulated)
    ]


def test_operands_that_are_shifted_and_addresses_in_vectors() -> None:
    assert parse("add r0, r1, sl, asr #2").shifted == ("r10", "asr") and parse("ldr r0, [r1, r2, lsl #2]").shifted is None
    assert parse("lsls r0, r1, #2").uses_shifter and parse("sxtb r0, r1").uses_shifter and not parse("adds r0, r1, #2").uses_shifter
    assert parse("vldrb.u8 q0, [r0, q1]").spread == 16 and parse("vldrw.u32 q0, [r0, q1, uxtw #2]").spread == 4
    assert parse("vldrb.u8 q0, [r0]").spread == 0


def test_what_changes_the_flow() -> None:
    assert parse("pop {r4, pc}").changes_flow and parse("ldr pc, [r0]").changes_flow and not parse("pop {r4, lr}").changes_flow
    assert parse("bl 100 <x>").calls and parse("j 100").always_jumps and not parse("beqz a0, 100").always_jumps
