/* Logarithm of the softmax over the last axis: int8 input, int8 output of scale 1/16 and zero point 127. */
#ifndef EW_LOG_SOFTMAX_S8_H
#define EW_LOG_SOFTMAX_S8_H

#include "clamp.h"
#include "kernel.h"
#include "log_at_least_one.h"
#include "requantize.h"

/* For the difference d to the largest input, d = 0 ... counted - 1: differences[d] is -d * scale in Q5.26, and exponentials[d]
 * its exponential in Q12.19. The multiplier turns Q5.26 back into differences; none below `smallest` is told apart. */
struct ew_log_softmax_s8 {
    int32_t rows, depth, counted, smallest;
    int32_t multiplier, shift;
    const int32_t *differences;
    const int32_t *exponentials;
};

/* `output` may be `input`. */
EW_KERNEL void ew_log_softmax_s8(const struct ew_log_softmax_s8 *layer, const int8_t *input, int8_t *output)
{
    const int32_t depth = layer->depth;

    for (int32_t row = 0; row < layer->rows; row++) {
        int32_t most = -128;
        int32_t sum = 0;

        for (int32_t i = 0; i < depth; i++) {
            most = input[i] > most ? input[i] : most;
        }
        for (int32_t i = 0; i < depth; i++) {
            sum += most - input[i] < layer->counted ? layer->exponentials[most - input[i]] : 0;
        }
        const int32_t log_sum = ew_log_at_least_one(sum);
        const int32_t bound = ew_requantize(log_sum + INT32_MIN, layer->multiplier, layer->shift);
        const int32_t smallest = bound > layer->smallest - 1 ? bound : layer->smallest - 1;

        for (int32_t i = 0; i < depth; i++) {
            const int32_t difference = input[i] - most;

            if (difference > smallest) {
                const int32_t x = layer->differences[-difference];

                output[i] = ew_clamp(ew_round_shift(x - log_sum, 22), 127, -128, 127);
            } else {
                output[i] = -128;
            }
        }
        input += depth;
        output += depth;
    }
}

#endif
