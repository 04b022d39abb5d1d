/* Pairs of rows of weights with four columns of inputs, sixteen products an instruction. */
#ifndef EW_MULTIPLY_TILE_H
#define EW_MULTIPLY_TILE_H

#include <arm_mve.h>

#include "kernel.h"

#if defined(__OPTIMIZE__) && !defined(__clang__)
/* One step of all eight sums, added to what they are or not. */
#define EW_MULTIPLY_STEP(multiply)  \
    "vldrb.8 q0, [r1, #16]\n\t"     \
    "vldrb.8 q2, [r3], #16\n\t"     \
    multiply ".s8 r0, q0, q2\n\t"   \
    "vldrb.8 q1, [r1, #32]!\n\t"    \
    multiply ".s8 r2, q1, q2\n\t"   \
    "vldrb.8 q3, [r5], #16\n\t"     \
    multiply ".s8 r4, q0, q3\n\t"   \
    "vldrb.8 q2, [r7], #16\n\t"     \
    multiply ".s8 r6, q1, q3\n\t"   \
    multiply ".s8 r8, q0, q2\n\t"   \
    "vldrb.8 q3, [r9], #16\n\t"     \
    multiply ".s8 r10, q1, q2\n\t"  \
    multiply ".s8 r12, q0, q3\n\t"  \
    multiply ".s8 lr, q1, q3\n\t"
/* The first step where it is of fewer than sixteen bytes: the loads are of sixteen of which only the last count. */
#define EW_MULTIPLY_FEW             \
    "ldr r11, %[first]\n\t"         \
    "add r1, r1, r11\n\t"           \
    "vpst\n\t"                      \
    "vldrbt.8 q0, [r1]\n\t"         \
    "add r1, r1, r11\n\t"           \
    "vpsttt\n\t"                    \
    "vldrbt.8 q2, [r3], #16\n\t"    \
    "vldrbt.8 q1, [r1]\n\t"         \
    "vldrbt.8 q3, [r5], #16\n\t"    \
    "vmladav.s8 r0, q0, q2\n\t"     \
    "vmladav.s8 r2, q1, q2\n\t"     \
    "vmladav.s8 r4, q0, q3\n\t"     \
    "vmladav.s8 r6, q1, q3\n\t"     \
    "vpstt\n\t"                     \
    "vldrbt.8 q2, [r7], #16\n\t"    \
    "vldrbt.8 q3, [r9], #16\n\t"    \
    "vmladav.s8 r8, q0, q2\n\t"     \
    "vmladav.s8 r10, q1, q2\n\t"    \
    "vmladav.s8 r12, q0, q3\n\t"    \
    "vmladav.s8 lr, q1, q3\n\t"
/* Pairs of rows, one after the other; lsrs tells whether the number of further steps is odd, and whether there are any. */
#define EW_MULTIPLY_PAIRS(first_step)                                                                                                     \
    __asm__ volatile("ldr r0, %[first]\n\t"                                                                                               \
                     "rsb r0, r0, #16\n\t"                                                                                                \
                     "vctp.8 r0\n\t"                                                                                                      \
                     "vpnot\n\t"                                                                                                          \
                     "1:\n\t"                                                                                                             \
                     "ldrd r3, r5, %[from]\n\t"                                                                                           \
                     "ldrd r7, r9, %[more]\n\t" first_step                                                                                \
                     "ldr r11, %[steps]\n\t"                                                                                              \
                     "lsrs r11, r11, #1\n\t"                                                                                              \
                     "bcs 3f\n\t"                                                                                                         \
                     "beq 4f\n\t"                                                                                                         \
                     "2:\n\t" EW_MULTIPLY_STEP("vmladava")                                                                                \
                     "3:\n\t" EW_MULTIPLY_STEP("vmladava")                                                                                \
                     "subs r11, r11, #1\n\t"                                                                                              \
                     "bne 2b\n\t"                                                                                                         \
                     "4:\n\t"                                                                                                             \
                     "ldrd r3, r5, %[to]\n\t"                                                                                             \
                     "strd r4, r6, [r3, #64]\n\t"                                                                                         \
                     "strd r8, r10, [r3, #128]\n\t"                                                                                       \
                     "strd r12, lr, [r3, #192]\n\t"                                                                                       \
                     "strd r0, r2, [r3], #8\n\t"                                                                                          \
                     "cmp r3, r5\n\t"                                                                                                     \
                     "str r3, %[to]\n\t"                                                                                                  \
                     "bne 1b\n\t"                                                                                                         \
                     : "+r"(w), [to] "+m"(to), "=m"(*(int32_t(*)[64])sums)                                                                \
                     : [first] "m"(first), [steps] "m"(steps), [from] "m"(*(const uintptr_t(*)[2])from),                                  \
                       [more] "m"(*(const uintptr_t(*)[2])(from + 2))                                                                     \
                     : "r0", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "q0", "q1", "q2", "q3", "p0", "cc", \
                       "memory")
#endif

/* sums[16 * c + 2 * i] and sums[16 * c + 2 * i + 1] become the products of column c with the first and the second row of pair i < pairs.
 * `weights`: for each pair, the first bytes of both rows, (length - 1) % 16 + 1 of them, then sixteen bytes of the first row, sixteen of the
 * second, and so on. Returns their end. */
static inline const int8_t *ew_multiply_tile(const int8_t *weights, const int8_t *const columns[4], int32_t length, int32_t pairs, int32_t *sums)
{
    const int32_t first = ((length - 1) & 15) + 1;
#if defined(EW_MULTIPLY_PAIRS)
    const uintptr_t back = (uintptr_t)(16 - first);
    const uintptr_t from[4] = {(uintptr_t)columns[0] - back, (uintptr_t)columns[1] - back, (uintptr_t)columns[2] - back, (uintptr_t)columns[3] - back};
    const int32_t further = (length - 1) >> 4;
    const int32_t steps = ((further + 1) & ~1) + (further & 1);
    struct {
        int32_t *next, *end;
    } to = {sums, sums + 2 * pairs};
    register const int8_t *w __asm__("r1") = weights - 16;

    if (first == 16) {
        EW_MULTIPLY_PAIRS(EW_MULTIPLY_STEP("vmladav"));
    } else {
        EW_MULTIPLY_PAIRS(EW_MULTIPLY_FEW);
    }
    return w + 16;
#else
    for (int32_t pair = 0; pair < pairs; pair++) {
        for (int32_t c = 0; c < 4; c += 2) {
            const int8_t *w = weights;
            const int8_t *x = columns[c], *y = columns[c + 1];
            int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

            for (int32_t left = length, count = first; left > 0; left -= count, count = 16) {
                const mve_pred16_t lanes = vctp8q((uint32_t)count);
                const int8x16_t a = vldrbq_z_s8(w, lanes), b = vldrbq_z_s8(w + count, lanes);
                const int8x16_t p = vldrbq_z_s8(x, lanes), q = vldrbq_z_s8(y, lanes);

                s0 = vmladavaq_s8(s0, a, p);
                s1 = vmladavaq_s8(s1, b, p);
                s2 = vmladavaq_s8(s2, a, q);
                s3 = vmladavaq_s8(s3, b, q);
                w += 2 * count;
                x += count;
                y += count;
            }
            sums[16 * c] = s0;
            sums[16 * c + 1] = s1;
            sums[16 * c + 16] = s2;
            sums[16 * c + 17] = s3;
        }
        weights += 2 * length;
        sums += 2;
    }
    return weights;
#endif
}

#endif
