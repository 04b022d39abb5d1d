/* The inner loop of the matrix products: pairs of rows of weights with four columns of inputs. */
#ifndef EW_MULTIPLY_PAIRS_H
#define EW_MULTIPLY_PAIRS_H

#include "requantize_within.h"
#include "simd.h"

/* Pairs of output channels, `output` ... `last - 1` (an even number), and how they are rescaled: twice the multipliers, modulo 2**32, and
 * the shifts. `simple`: every shift is negative and the bounds are those of int8; offset = 2 * zero_point + 1 then replaces what is below it.
 *
 * For each four steps k ... k+3 of the sums, the weights have 8 bytes: of step k the first row's and the second row's, of k+2 the same,
 * then of k+1 and k+3; `columns` ... `end` have 8 words: (k, k+2) as two halves for each of the four columns, then (k+1, k+3).
 * The byte for column c goes to output[at[c]]. */
struct ew_pairs {
    const int32_t *bias, *doubled;
    const int8_t *shift;
    int8_t *output, *last;
    struct {
        const int32_t *columns, *end;
    } span;
    struct {
        int32_t skip, simple;
    } how;
    int32_t offset;
    int32_t at[4];
    int32_t *sums;
    struct ew_bounds bounds;
};

#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
/* Two steps: sixteen multiplications, 52 bytes of code. */
#define EW_PAIRS_TWO_STEPS                    \
    "ldrd %[x], %[y], [%[from]], #8\n\t"      \
    "ldr %[w], [%[weights]], #4\n\t"          \
    "sxtb16 %[v], %[w], ror #8\n\t"           \
    "sxtb16 %[w], %[w]\n\t"                   \
    "smlad %[a0], %[w], %[x], %[a0]\n\t"      \
    "smlad %[b0], %[v], %[x], %[b0]\n\t"      \
    "smlad %[a1], %[w], %[y], %[a1]\n\t"      \
    "smlad %[b1], %[v], %[y], %[b1]\n\t"      \
    "ldrd %[x], %[y], [%[from]], #8\n\t"      \
    "smlad %[a2], %[w], %[x], %[a2]\n\t"      \
    "smlad %[b2], %[v], %[x], %[b2]\n\t"      \
    "smlad %[a3], %[w], %[y], %[a3]\n\t"      \
    "smlad %[b3], %[v], %[y], %[b3]\n\t"
#define EW_PAIRS_EIGHT_STEPS EW_PAIRS_TWO_STEPS EW_PAIRS_TWO_STEPS EW_PAIRS_TWO_STEPS EW_PAIRS_TWO_STEPS
#define EW_PAIRS_RESCALE(sum, doubled)                  \
    "smmlar " sum ", " sum ", " doubled ", " sum "\n\t" \
    "add " sum ", " sum ", " sum ", asr #31\n\t"        \
    "asr " sum ", " sum ", %[v]\n\t"                    \
    "qadd " sum ", " sum ", %[from]\n\t"                \
    "ssat " sum ", #8, " sum ", asr #1\n\t"

/* All pairs where they are simple; else the sums of one pair. Fourteen registers are all there are: eight sums, two addresses, four
 * numbers; what else is needed comes from memory. The inner loop makes sixteen steps; it is entered at what is left of a multiple. */
static inline const int8_t *ew_multiply_some_pairs(struct ew_pairs *pairs, const int8_t *weights)
{
    int32_t a0, a1, a2, a3, b0, b1, b2, b3, x, y, w, v;
    const int32_t *from;

    __asm__ volatile(
        "2:\n\t"
        "ldr %[x], %[bias]\n\t"
        "ldrd %[a0], %[b0], [%[x]], #8\n\t"
        "str %[x], %[bias]\n\t"
        "ldrd %[x], %[y], %[how]\n\t"
        "ldrd %[from], %[y], %[span]\n\t"
        "mov %[a1], %[a0]\n\t"
        "mov %[a2], %[a0]\n\t"
        "mov %[a3], %[a0]\n\t"
        "mov %[b1], %[b0]\n\t"
        "mov %[b2], %[b0]\n\t"
        "mov %[b3], %[b0]\n\t"
        "add pc, %[x]\n\t"
        "nop\n"
        "1:\n\t" EW_PAIRS_EIGHT_STEPS EW_PAIRS_EIGHT_STEPS
        "ldrd %[y], %[x], %[span]\n\t"
        "cmp %[from], %[x]\n\t"
        "bne 1b\n\t"
        "ldrd %[x], %[y], %[how]\n\t"
        "cmp %[y], #0\n\t"
        "beq 3f\n\t"
        "ldr %[x], %[doubled]\n\t"
        "ldr %[from], %[offset]\n\t"
        "ldrd %[y], %[w], [%[x]], #8\n\t"
        "str %[x], %[doubled]\n\t"
        "ldr %[x], %[shift]\n\t"
        "ldrsb %[v], [%[x]], #2\n\t"
        "str %[x], %[shift]\n\t"
        "mvn %[v], %[v]\n\t"
        EW_PAIRS_RESCALE("%[a0]", "%[y]") EW_PAIRS_RESCALE("%[a1]", "%[y]") EW_PAIRS_RESCALE("%[a2]", "%[y]") EW_PAIRS_RESCALE("%[a3]", "%[y]")
        "ldrsb %[v], [%[x], #-1]\n\t"
        "mvn %[v], %[v]\n\t"
        EW_PAIRS_RESCALE("%[b0]", "%[w]") EW_PAIRS_RESCALE("%[b1]", "%[w]") EW_PAIRS_RESCALE("%[b2]", "%[w]") EW_PAIRS_RESCALE("%[b3]", "%[w]")
        "ldr %[x], %[output]\n\t"
        "ldrd %[y], %[w], %[at01]\n\t"
        "add %[v], %[x], #1\n\t"
        "strb %[a0], [%[x], %[y]]\n\t"
        "strb %[b0], [%[v], %[y]]\n\t"
        "strb %[a1], [%[x], %[w]]\n\t"
        "strb %[b1], [%[v], %[w]]\n\t"
        "ldrd %[y], %[w], %[at23]\n\t"
        "strb %[a2], [%[x], %[y]]\n\t"
        "strb %[b2], [%[v], %[y]]\n\t"
        "strb %[a3], [%[x], %[w]]\n\t"
        "strb %[b3], [%[v], %[w]]\n\t"
        "add %[x], %[x], #2\n\t"
        "str %[x], %[output]\n\t"
        "ldr %[y], %[last]\n\t"
        "cmp %[x], %[y]\n\t"
        "bne 2b\n\t"
        "b 4f\n"
        "3:\n\t"
        "ldr %[x], %[sums]\n\t"
        "strd %[a0], %[a1], [%[x]]\n\t"
        "strd %[a2], %[a3], [%[x], #8]\n\t"
        "strd %[b0], %[b1], [%[x], #16]\n\t"
        "strd %[b2], %[b3], [%[x], #24]\n"
        "4:\n\t"
        : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3), [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3),
          [x] "=&r"(x), [y] "=&r"(y), [w] "=&r"(w), [v] "=&r"(v), [from] "=&r"(from), [weights] "+r"(weights),
          [bias] "+m"(pairs->bias), [doubled] "+m"(pairs->doubled), [shift] "+m"(pairs->shift), [output] "+m"(pairs->output)
        : [last] "m"(pairs->last), [span] "m"(pairs->span), [how] "m"(pairs->how), [offset] "m"(pairs->offset),
          [at01] "m"(pairs->at[0]), [at23] "m"(pairs->at[2]), [sums] "m"(pairs->sums)
        : "cc", "memory");
    return weights;
}
#else
/* All pairs where they are simple; else the sums of one pair. Two columns at a time: more sums than that do not stay in registers. */
static inline const int8_t *ew_multiply_some_pairs(struct ew_pairs *pairs, const int8_t *weights)
{
    do {
        for (int c = 0; c < 4; c += 2) {
            int32_t a0 = pairs->bias[0], a1 = a0, b0 = pairs->bias[1], b1 = b0;
            const int8_t *from = weights;

            for (const int32_t *x = pairs->span.columns + c; x < pairs->span.end; x += 4) {
                const int32_t word = ew_load(from);
                const int32_t w = ew_even(word);
                const int32_t v = ew_odd(word);

                a0 = ew_dot(w, x[0], a0);
                a1 = ew_dot(w, x[1], a1);
                b0 = ew_dot(v, x[0], b0);
                b1 = ew_dot(v, x[1], b1);
                from += 4;
            }
            pairs->sums[c] = a0;
            pairs->sums[c + 1] = a1;
            pairs->sums[c + 4] = b0;
            pairs->sums[c + 5] = b1;
        }
        weights += pairs->span.end - pairs->span.columns;
        pairs->bias += 2;
        if (!pairs->how.simple) {
            break;
        }
        for (int c = 0; c < 8; c++) {
            const int32_t byte = ew_rescale(pairs->sums[c], pairs->doubled[c / 4], -1 - pairs->shift[c / 4], pairs->offset);

            pairs->output[pairs->at[c % 4] + c / 4] = (int8_t)byte;
        }
        pairs->doubled += 2;
        pairs->shift += 2;
        pairs->output += 2;
    } while (pairs->output != pairs->last);
    return weights;
}
#endif

/* At least one pair. Returns the end of the weights. */
static inline const int8_t *ew_multiply_pairs(struct ew_pairs *pairs, const int8_t *weights)
{
    int32_t sums[8];

    pairs->sums = sums;
    pairs->how.skip = (-(int32_t)((pairs->span.end - pairs->span.columns) / 8) & 3) * 104;
    while (pairs->output != pairs->last) {
        weights = ew_multiply_some_pairs(pairs, weights);
        if (!pairs->how.simple) {
            for (int c = 0; c < 8; c++) {
                const int32_t multiplier = (int32_t)((uint32_t)pairs->doubled[c / 4] >> 1);

                pairs->output[pairs->at[c % 4] + c / 4] = ew_requantize_within(sums[c], multiplier, pairs->shift[c / 4], &pairs->bounds);
            }
            pairs->doubled += 2;
            pairs->shift += 2;
            pairs->output += 2;
        }
    }
    return weights;
}

#endif
