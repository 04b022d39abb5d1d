/* Gated recurrent units over a sequence: int8 input, weights and hidden state; gates in 16 bits, as is the state that is blended. */
#ifndef EW_GRU_S8_H
#define EW_GRU_S8_H

#include "clamp.h"
#include "gates.h"
#include "kernel.h"

/* Rows of the weights: those of the reset, update and new gate, `units` each, with one factor for each gate. Biases hold
 * -zero_point * sum(weights) of their rows; `first_bias` is the recurrent one without that, for the first step, whose state is zero. */
struct ew_gru_s8 {
    int32_t steps, inputs, units;
    int32_t multiplier[3], shift[3];
    int32_t recurrent_multiplier[3], recurrent_shift[3];
    int32_t unit_multiplier, unit_shift;
    int32_t output_zero_point, output_multiplier, output_shift;
    const int8_t *weights;
    const int8_t *recurrent;
    const int32_t *bias;
    const int32_t *recurrent_bias;
    const int32_t *first_bias;
    const uint16_t *sigmoid;
};

/* The output of a step is the hidden state that the next one multiplies; `workspace` holds
 * the same in Q0.15, two bytes a unit. */
EW_KERNEL void ew_gru_s8(const struct ew_gru_s8 *layer, const int8_t *restrict input, int8_t *output, void *restrict workspace)
{
    const int32_t units = layer->units, inputs = layer->inputs;
    int16_t *state = workspace;

    memset(state, 0, (size_t)units * sizeof *state);
    for (int32_t step = 0; step < layer->steps; step++) {
        for (int32_t unit = 0; unit < units; unit++) {
            int32_t fresh[3], old[3];

            for (int32_t gate = 0; gate < 3; gate++) {
                const int32_t row = gate * units + unit;

                fresh[gate] = ew_gate_sum(layer->weights + row * inputs, input, inputs, layer->bias[row], layer->multiplier[gate],
                                          layer->shift[gate]);
                old[gate] = ew_gate_sum(layer->recurrent + row * units, step > 0 ? output - units : output, step > 0 ? units : 0,
                                        step > 0 ? layer->recurrent_bias[row] : layer->first_bias[row], layer->recurrent_multiplier[gate],
                                        layer->recurrent_shift[gate]);
            }
            const int32_t reset = ew_logistic(layer->sigmoid, ew_to_int16(fresh[0] + old[0]));
            const int32_t update = ew_logistic(layer->sigmoid, ew_to_int16(fresh[1] + old[1]));
            const int32_t heard = ew_to_int16(ew_requantize(reset * old[2], layer->unit_multiplier, layer->unit_shift));
            const int32_t news = ew_tanh(layer->sigmoid, ew_to_int16(fresh[2] + heard), 0);
            const int32_t blend = ew_requantize(update * (state[unit] - news), layer->unit_multiplier, layer->unit_shift);

            state[unit] = (int16_t)ew_to_int16(news + blend);
            output[unit] = ew_clamp(ew_requantize(state[unit], layer->output_multiplier, layer->output_shift), layer->output_zero_point,
                                    -128, 127);
        }
        input += inputs;
        output += units;
    }
}

#endif
