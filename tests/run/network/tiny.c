#include "tiny.h"

#include <string.h>

#include "kernels/dense.h"

#ifdef EW_PROFILE
void ew_mark(uint16_t region);
#define EW_MARK(region) ew_mark(region)
#else
#define EW_MARK(region)
#endif

/* Layer 1 executes 2 * TINY_TURNS + 2 instructions in its loop, on both instruction sets. */
#define TINY_TURNS 1000

static int32_t arena[TINY_ARENA_BYTES / 4];
static int32_t tiny_total;
static volatile int32_t tiny_scale = 3;
static const int8_t tiny_weights[64] = {
    1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12, 13, -14, 15, -16, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    127, -128, 127, -128, 127, -128, 127, -128, 127, -128, 127, -128, 127, -128, 127, -128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
};

void *tiny_input(size_t index) { return index == 0 ? arena : arena + 4; }
const void *tiny_output(size_t index) { return index == 0 ? arena + 8 : arena + 12; }
size_t tiny_input_bytes(size_t index) { return index == 0 ? TINY_INPUT_0_BYTES : TINY_INPUT_1_BYTES; }
size_t tiny_output_bytes(size_t index) { return index == 0 ? TINY_OUTPUT_0_BYTES : TINY_OUTPUT_1_BYTES; }

static void counted_loop(void)
{
#if defined(__arm__)
    __asm__ volatile(".syntax unified\n\tmovs r3, %0\n\tlsls r3, r3, #2\n1:\tsubs r3, r3, #1\n\tbne 1b" : : "i"(TINY_TURNS / 4) : "r3", "cc");
#elif defined(__riscv)
    __asm__ volatile("li t0, %0\n\tslli t0, t0, 2\n1:\taddi t0, t0, -1\n\tbnez t0, 1b" : : "i"(TINY_TURNS / 4) : "t0");
#endif
}

void tiny_run(void)
{
    int8_t copy[TINY_INPUT_0_BYTES];
    EW_MARK(1);
    memcpy(copy, arena, sizeof copy);
    tiny_dense(copy, tiny_weights, (const int16_t *)(arena + 4), arena + 8, 16, 4);
    EW_MARK(2);
    counted_loop();
    EW_MARK(3);
    for (size_t i = 0; i < 4; ++i) {
        tiny_total += tiny_scale * arena[8 + i];
    }
    arena[12] = tiny_total;
    memset(arena, 0, TINY_INPUT_0_BYTES); /* inputs may be overwritten */
    EW_MARK(0);
}

void tiny_reset(void) { tiny_total = 0; }
