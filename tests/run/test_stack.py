"""The deepest stack, predicted: instructions read rightly, and the compiler's word on frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import ToolError
from edgewright.run.footprint import predict_footprint
from edgewright.run.stack import _riscv_jump, _riscv_pushed, _thumb_jump, _thumb_pushed, depth, read_stack_usage
from edgewright.targets.target import Target, load_target
from tests.run import tiny


@pytest.fixture(params=["cortex-m0plus", "cortex-m4", "rv32imac"])
def device(request: pytest.FixtureRequest) -> Target:
    request.getfixturevalue("needs_riscv" if request.param == "rv32imac" else "needs_arm")
    return load_target(request.param)


# Encodings as GNU as 2.40 writes them.
@pytest.mark.parametrize(
    ("word", "size", "pushed"),
    [
        (0xB510, 2, 8),  # push {r4, lr}
        (0xB4F0, 2, 16),  # push {r4-r7}
        (0xB082, 2, 8),  # sub sp, #8
        (0xB002, 2, 0),  # add sp, #8
        (0xE92D4FF0, 4, 36),  # push.w {r4-r11, lr}
        (0xF84DED04, 4, 4),  # str lr, [sp, #-4]!
        (0xF5AD6D80, 4, 1024),  # sub.w sp, sp, #1024
        (0xF2AD4D04, 4, 1028),  # subw sp, sp, #1028
        (0xED2D8B10, 4, 64),  # vpush {d8-d15}
        (0xF1AD0D08, 4, 8),  # sub.w sp, sp, #8
        (0xF1A70708, 4, 0),  # sub.w r7, r7, #8
    ],
)
def test_what_thumb_instructions_push(word: int, size: int, pushed: int) -> None:
    assert _thumb_pushed(word, size) == pushed


@pytest.mark.parametrize(
    ("word", "size", "pushed"),
    [
        (0xFF010113, 4, 16),  # addi sp, sp, -16
        (0x01010113, 4, 0),  # addi sp, sp, 16
        (0x1141, 2, 16),  # c.addi sp, -16
        (0x7139, 2, 64),  # c.addi16sp sp, -64
        (0x6121, 2, 0),  # c.addi16sp sp, 64
        (0x0141, 2, 0),  # c.addi sp, 16
    ],
)
def test_what_riscv_instructions_push(word: int, size: int, pushed: int) -> None:
    assert _riscv_pushed(word, size) == pushed


def test_calls_and_tail_calls() -> None:
    def jump(found: object) -> tuple[int, bool] | None:
        return None if found is None else (found.to, found.keeps_frame)  # type: ignore[attr-defined]

    assert jump(_thumb_jump(0x1000, 0xF000F802, 4)) == (0x1008, True)  # bl .+8
    assert jump(_thumb_jump(0x1000, 0xF7FFFFFE, 4)) == (0x1000, True)  # bl .
    assert jump(_thumb_jump(0x1000, 0xF000B802, 4)) == (0x1008, False)  # b.w .+8
    assert jump(_thumb_jump(0x1000, 0xE002, 2)) == (0x1008, False)  # b.n .+8
    assert _thumb_jump(0x1000, 0xF0008002, 4) is None  # beq.w
    assert _thumb_jump(0x1000, 0xFB00F000, 4) is None  # mul
    assert jump(_riscv_jump(0x1000, 0x008000EF, 4)) == (0x1008, True)  # jal ra, .+8
    assert jump(_riscv_jump(0x1000, 0xFF9FF06F, 4)) == (0x0FF8, False)  # j .-8
    assert jump(_riscv_jump(0x1000, 0x2021, 2)) == (0x1008, True)  # c.jal .+8
    assert jump(_riscv_jump(0x1000, 0xBFE5, 2)) == (0x0FF8, False)  # c.j .-8
    assert _riscv_jump(0x1000, 0x00008067, 4) is None  # ret
    pointers = [_thumb_jump(0, 0x4798, 2), _riscv_jump(0, 0x9782, 2), _riscv_jump(0, 0x000780E7, 4)]  # blx r3; c.jalr a5; jalr ra, a5
    assert [jump(found) for found in pointers] == [(-1, True)] * 3
    assert _riscv_jump(0, 0x9002, 2) is None  # c.ebreak


def test_frames_as_the_compiler_states_them(tmp_path: Path) -> None:
    (tmp_path / "a.su").write_text("k.h:1:2:f\t16\tstatic\nk.h:9:2:f.constprop\t24\tstatic\nn.c:3:6:g\t8\tdynamic,bounded\n")
    assert read_stack_usage(tmp_path) == {"f": 24, "g": 8}
    (tmp_path / "a.su").write_text("n.c:3:6:g\t8\tdynamic\n")
    with pytest.raises(ToolError, match="g takes stack without a bound"):
        read_stack_usage(tmp_path)


def test_a_large_frame_is_on_the_path(device: Target) -> None:
    plain = predict_footprint(tiny.files(), device)
    footprint = predict_footprint(tiny.large_frame(800), device)
    assert footprint.stack_path is not None and footprint.stack_path[0].function == "tiny_run"
    assert footprint.stack_path[-1].function == "large" and 800 <= footprint.stack_path[-1].stack_bytes <= 840
    assert footprint.stack_bytes == depth(footprint.stack_path) and (plain.stack_bytes or 0) < 800


def test_recursion_is_unknown_and_says_so(device: Target) -> None:
    footprint = predict_footprint(tiny.too_deep(), device)
    assert footprint.stack_bytes is None and "calls itself" in footprint.stack_unknown
