"""The network of tests/run/network, written by hand: its files, its inputs, what it must answer, and broken variants of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NETWORK = Path(__file__).parent / "network"
OUTPUTS = [(np.int32, (4,)), (np.int32, ())]
LAYERS = ("dense", "loop", "total")
LOOP_INSTRUCTIONS = 2 * 1000 + 2
"""Of layer `loop`, counted by hand in tiny.c."""
SCALE = 3
WEIGHTS = np.array([[(-1) ** i * (i + 1) for i in range(16)], [2] * 16, [127, -128] * 8, [0] * 15 + [1]])
_AFTER_DENSE = "    EW_MARK(2);\n"


def files() -> dict[str, bytes]:
    return {path.relative_to(NETWORK).as_posix(): path.read_bytes() for path in NETWORK.rglob("*.[ch]")}


def inputs(samples: int = 5) -> list[NDArray[Any]]:
    random = np.random.default_rng(0)
    return [random.integers(-128, 128, (samples, 16)).astype(np.int8), random.integers(-999, 999, (samples, 4)).astype(np.int16)]


def expected(arrays: list[NDArray[Any]], *, reset_state: bool = True) -> list[NDArray[Any]]:
    dense = arrays[0].astype(np.int64) @ WEIGHTS.T + arrays[1]
    totals = SCALE * dense.sum(axis=1)
    return [dense, totals if reset_state else totals.cumsum()]


def check(outputs: list[NDArray[Any]], arrays: list[NDArray[Any]], *, reset_state: bool = True) -> None:
    for found, wanted in zip(outputs, expected(arrays, reset_state=reset_state), strict=True):
        np.testing.assert_array_equal(found, wanted)


def with_statements(statements: str, *, before: str = "") -> dict[str, bytes]:
    """The network with ``statements`` after its first layer, and ``before`` in front of its run function."""
    text = files()["tiny.c"].decode()
    text = text.replace(_AFTER_DENSE, _AFTER_DENSE + statements, 1).replace("void tiny_run(void)\n", before + "void tiny_run(void)\n", 1)
    return files() | {"tiny.c": text.encode()}


def replaced(old: str, new: str) -> dict[str, bytes]:
    text = files()["tiny.c"].decode()
    assert old in text
    return files() | {"tiny.c": text.replace(old, new, 1).encode()}


def too_deep() -> dict[str, bytes]:
    """Recursion that no stack of these tests holds."""
    return with_statements(
        "    arena[10] += deep(arena, 3000) & 1;\n",
        before="static int32_t deep(volatile int32_t *at, int32_t n)\n{\n    volatile int32_t room[16];\n    room[n & 15] = n + *at;\n"
        "    return n == 0 ? room[0] : deep(room, n - 1) + room[n & 15];\n}\n\n",
    )


def large_frame(size: int) -> dict[str, bytes]:
    """One function with ``size`` bytes on the stack, written from the top down."""
    return with_statements(
        "    large();\n",
        before=f"static void __attribute__((noinline)) large(void)\n{{\n    volatile int8_t room[{size}];\n"
        f"    for (size_t i = 0; i < {size}; ++i) {{\n        room[{size - 1} - i] = 1;\n    }}\n    tiny_total += room[5] - 1;\n}}\n\n",
    )


def hanging() -> dict[str, bytes]:
    return with_statements("    for (;;) {\n        tiny_scale = 3;\n    }\n")


def undefined_instruction() -> dict[str, bytes]:
    return with_statements('#if defined(__arm__)\n    __asm__ volatile("udf #1");\n#else\n    __asm__ volatile("unimp");\n#endif\n')


def unaligned() -> dict[str, bytes]:
    return with_statements(
        '    {\n        const int8_t *odd = (const int8_t *)arena + 1;\n        __asm__ volatile("" : "+r"(odd));\n'
        "        arena[13] = *(const volatile int32_t *)(const void *)odd;\n    }\n"
    )


def more_ram(words: int) -> dict[str, bytes]:
    return replaced("arena[TINY_ARENA_BYTES / 4]", f"arena[{words}]")


def more_flash(size: int) -> dict[str, bytes]:
    text = with_statements("    tiny_total += tiny_padding[tiny_scale];\n", before=f"const int8_t tiny_padding[{size}] = {{1}};\n\n")
    return text


def wild_write() -> dict[str, bytes]:
    hidden = '    __asm__ volatile("" : "+r"(nowhere));\n'
    return with_statements("    {\n        volatile int32_t *nowhere = NULL;\n" + hidden + "        *nowhere = 1;\n    }\n")


def out_of_bounds() -> dict[str, bytes]:
    """Writes one word behind the arena."""
    hidden = '    __asm__ volatile("" : "+r"(end));\n'
    return with_statements("    {\n        volatile int32_t *end = arena;\n" + hidden + "        end[TINY_ARENA_BYTES / 4] = 1;\n    }\n")
