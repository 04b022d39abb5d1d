/* Pairs of rows of weights with four columns of inputs, sixteen products an instruction. */
#ifndef EW_MULTIPLY_TILE_H
#define EW_MULTIPLY_TILE_H

#include <arm_mve.h>

#include "kernel.h"

/* One step of all eight sums. */
#define EW_MULTIPLY_STEP            \
    "vldrb.8 q0, [r1, #16]\n\t"     \
    "vldrb.8 q2, [r3], #16\n\t"     \
    "vmladava.s8 r0, q0, q2\n\t"    \
    "vldrb.8 q1, [r1, #32]!\n\t"    \
    "vmladava.s8 r2, q1, q2\n\t"    \
    "vldrb.8 q3, [r5], #16\n\t"     \
    "vmladava.s8 r4, q0, q3\n\t"    \
    "vldrb.8 q2, [r7], #16\n\t"     \
    "vmladava.s8 r6, q1, q3\n\t"    \
    "vmladava.s8 r8, q0, q2\n\t"    \
    "vldrb.8 q3, [r9], #16\n\t"     \
    "vmladava.s8 r10, q1, q2\n\t"   \
    "vmladava.s8 r12, q0, q3\n\t"   \
    "vmladava.s8 lr, q1, q3\n\t"

/* sums[16 * c + 2 * i] and sums[16 * c + 2 * i + 1] become the products of column c with the first and the second row of pair i < pairs.
 * `weights`: for each pair, the first bytes of both rows, (length - 1) % 16 + 1 of them, then sixteen bytes of the first row, sixteen of the
 * second, and so on. Returns their end. */
static inline const int8_t *ew_multiply_tile(const int8_t *weights, const int8_t *const columns[4], int32_t length, int32_t pairs, int32_t *sums)
{
    const int32_t first = ((length - 1) & 15) + 1;
#if defined(__OPTIMIZE__) && !defined(__clang__)
    /* Loads of the first step are of sixteen bytes of which the last `first` count: nothing else is read. */
    const uintptr_t back = (uintptr_t)(16 - first);
    const uintptr_t from[4] = {(uintptr_t)columns[0] - back, (uintptr_t)columns[1] - back, (uintptr_t)columns[2] - back, (uintptr_t)columns[3] - back};
    const int32_t steps = (length - 1) >> 4;
    int32_t *to = sums;
    int32_t *const end = sums + 2 * pairs;
    register const int8_t *w __asm__("r1") = weights - 16;

    __asm__ volatile("ldr r0, %[first]\n\t"
                     "rsb r0, r0, #16\n\t"
                     "vctp.8 r0\n\t"
                     "vpnot\n\t"
                     "1:\n\t"
                     "ldr r11, %[first]\n\t"
                     "ldrd r3, r5, %[from]\n\t"
                     "ldrd r7, r9, %[more]\n\t"
                     "add r1, r1, r11\n\t"
                     "vpst\n\t"
                     "vldrbt.8 q0, [r1]\n\t"
                     "add r1, r1, r11\n\t"
                     "vpsttt\n\t"
                     "vldrbt.8 q2, [r3], #16\n\t"
                     "vldrbt.8 q1, [r1]\n\t"
                     "vldrbt.8 q3, [r5], #16\n\t"
                     "ldr r11, %[steps]\n\t"
                     "vmladav.s8 r0, q0, q2\n\t"
                     "vmladav.s8 r2, q1, q2\n\t"
                     "vmladav.s8 r4, q0, q3\n\t"
                     "vmladav.s8 r6, q1, q3\n\t"
                     "lsrs r11, r11, #1\n\t"
                     "adc r11, r11, #0\n\t"
                     "vpstt\n\t"
                     "vldrbt.8 q2, [r7], #16\n\t"
                     "vldrbt.8 q3, [r9], #16\n\t"
                     "vmladav.s8 r8, q0, q2\n\t"
                     "vmladav.s8 r10, q1, q2\n\t"
                     "vmladav.s8 r12, q0, q3\n\t"
                     "vmladav.s8 lr, q1, q3\n\t"
                     "bcs 3f\n\t"
                     "beq 4f\n\t"
                     "2:\n\t" EW_MULTIPLY_STEP
                     "3:\n\t" EW_MULTIPLY_STEP
                     "subs r11, r11, #1\n\t"
                     "bne 2b\n\t"
                     "4:\n\t"
                     "ldr r3, %[to]\n\t"
                     "ldr r5, %[end]\n\t"
                     "strd r4, r6, [r3, #64]\n\t"
                     "strd r8, r10, [r3, #128]\n\t"
                     "strd r12, lr, [r3, #192]\n\t"
                     "strd r0, r2, [r3], #8\n\t"
                     "str r3, %[to]\n\t"
                     "cmp r3, r5\n\t"
                     "bne 1b\n\t"
                     : "+r"(w), [to] "+m"(to), "=m"(*(int32_t(*)[64])sums)
                     : [first] "m"(first), [steps] "m"(steps), [end] "m"(end), [from] "m"(*(const uintptr_t(*)[2])from),
                       [more] "m"(*(const uintptr_t(*)[2])(from + 2))
                     : "r0", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "q0", "q1", "q2", "q3", "p0", "cc", "memory");
    return w + 16;
#else
    for (int32_t pair = 0; pair < pairs; pair++) {
        int32_t found[8] = {0, 0, 0, 0, 0, 0, 0, 0};

        for (int32_t k = 0; k < length; k += k == 0 ? first : 16) {
            const int32_t count = k == 0 ? first : 16;
            const mve_pred16_t lanes = vctp8q((uint32_t)count);
            const int8x16_t a = vldrbq_z_s8(weights, lanes);
            const int8x16_t b = vldrbq_z_s8(weights + count, lanes);

            for (int32_t c = 0; c < 4; c++) {
                const int8x16_t x = vldrbq_z_s8(columns[c] + k, lanes);

                found[2 * c] = vmladavaq_s8(found[2 * c], a, x);
                found[2 * c + 1] = vmladavaq_s8(found[2 * c + 1], b, x);
            }
            weights += 2 * count;
        }
        for (int32_t c = 0; c < 4; c++) {
            sums[16 * c + 2 * pair] = found[2 * c];
            sums[16 * c + 2 * pair + 1] = found[2 * c + 1];
        }
    }
    return weights;
#endif
}

#endif
