/* From the sums of two output channels at four positions to eight bytes. */
#ifndef EW_STORE_PAIR_H
#define EW_STORE_PAIR_H

#include "simd.h"

/* How a pair of output channels is rescaled: `doubled` holds twice their multipliers, modulo 2**32, `shift` their shifts, all of them
 * negative; `offset` is 2 * zero_point + 1; the bounds are those of int8. */
struct ew_pair {
    const int32_t *doubled;
    const int8_t *shift;
    int32_t offset;
};

#if defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__) && !defined(__clang__)
#define EW_STORE_PAIR_RESCALE(sum, doubled)          \
    "smmlar " sum ", " sum ", " doubled ", " sum "\n\t" \
    "add " sum ", " sum ", " sum ", asr #31\n\t"        \
    "asr " sum ", " sum ", %[r]\n\t"                    \
    "qadd " sum ", " sum ", %[o]\n\t"                   \
    "ssat " sum ", #8, " sum ", asr #1\n\t"
#endif

/* Writes the byte for s[c] to output[at[c]], that for s[4 + c] to output[at[c] + 1]. */
static inline void ew_store_pair(const struct ew_pair *pair, const int32_t s[8], int8_t *output, const int32_t at[4])
{
#if defined(EW_STORE_PAIR_RESCALE)
    int32_t a0 = s[0], a1 = s[1], a2 = s[2], a3 = s[3], b0 = s[4], b1 = s[5], b2 = s[6], b3 = s[7];
    int32_t r, o, p, q;

    /* Twelve registers; what else there is comes from memory when it is needed. */
    __asm__ volatile(
        "ldr %[p], %[doubled]\n\t"
        "ldr %[r], %[shift]\n\t"
        "ldrd %[p], %[q], [%[p]]\n\t"
        "ldrsb %[r], [%[r]]\n\t"
        "ldr %[o], %[offset]\n\t"
        "mvn %[r], %[r]\n\t"
        EW_STORE_PAIR_RESCALE("%[a0]", "%[p]") EW_STORE_PAIR_RESCALE("%[a1]", "%[p]")
        EW_STORE_PAIR_RESCALE("%[a2]", "%[p]") EW_STORE_PAIR_RESCALE("%[a3]", "%[p]")
        "ldr %[r], %[shift]\n\t"
        "ldrsb %[r], [%[r], #1]\n\t"
        "mvn %[r], %[r]\n\t"
        EW_STORE_PAIR_RESCALE("%[b0]", "%[q]") EW_STORE_PAIR_RESCALE("%[b1]", "%[q]")
        EW_STORE_PAIR_RESCALE("%[b2]", "%[q]") EW_STORE_PAIR_RESCALE("%[b3]", "%[q]")
        "ldr %[o], %[output]\n\t"
        "ldrd %[p], %[q], %[at01]\n\t"
        "strb %[a0], [%[o], %[p]]\n\t"
        "strb %[a1], [%[o], %[q]]\n\t"
        "add %[r], %[o], #1\n\t"
        "strb %[b0], [%[r], %[p]]\n\t"
        "strb %[b1], [%[r], %[q]]\n\t"
        "ldrd %[p], %[q], %[at23]\n\t"
        "strb %[a2], [%[o], %[p]]\n\t"
        "strb %[a3], [%[o], %[q]]\n\t"
        "strb %[b2], [%[r], %[p]]\n\t"
        "strb %[b3], [%[r], %[q]]\n\t"
        : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b0), [b1] "+r"(b1), [b2] "+r"(b2), [b3] "+r"(b3),
          [r] "=&r"(r), [o] "=&r"(o), [p] "=&r"(p), [q] "=&r"(q)
        : [doubled] "m"(pair->doubled), [shift] "m"(pair->shift), [offset] "m"(pair->offset), [output] "m"(output),
          [at01] "m"(*(const int64_t *)(const void *)at), [at23] "m"(*(const int64_t *)(const void *)(at + 2))
        : "cc", "memory");
#else
    for (int c = 0; c < 8; c++) {
        const int row = c / 4;

        output[at[c % 4] + row] = (int8_t)ew_rescale(s[c], pair->doubled[row], -1 - pair->shift[row], pair->offset);
    }
#endif
}

#endif
