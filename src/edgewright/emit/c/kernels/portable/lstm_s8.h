/* Long short-term memory over a sequence: int8 input, weights and hidden state; gates and cell in 16 bits. */
#ifndef EW_LSTM_S8_H
#define EW_LSTM_S8_H

#include "clamp.h"
#include "gates.h"
#include "kernel.h"

/* Rows of the weights: those of the input, forget, cell and output gate, `units` each, with one factor for each gate. Biases hold
 * -zero_point * sum(weights) of their rows. */
struct ew_lstm_s8 {
    int32_t steps, inputs, units;
    int32_t multiplier[4], shift[4];
    int32_t recurrent_multiplier[4], recurrent_shift[4];
    int32_t keep_multiplier, keep_shift, enter_multiplier, enter_shift, tanh_left;
    int32_t output_zero_point, output_multiplier, output_shift;
    const int8_t *weights;
    const int8_t *recurrent;
    const int32_t *bias;
    const int32_t *recurrent_bias;
    const uint16_t *sigmoid;
};

/* The output of a step is the hidden state that the next one reads. `workspace`: the cell,
 * two bytes a unit. */
EW_KERNEL void ew_lstm_s8(const struct ew_lstm_s8 *layer, const int8_t *restrict input, int8_t *output, void *restrict workspace)
{
    const int32_t units = layer->units, inputs = layer->inputs;
    int16_t *cell = workspace;

    memset(cell, 0, (size_t)units * sizeof *cell);
    for (int32_t step = 0; step < layer->steps; step++) {
        for (int32_t unit = 0; unit < units; unit++) {
            int32_t gates[4];

            for (int32_t gate = 0; gate < 4; gate++) {
                const int32_t row = gate * units + unit;
                int32_t sum = ew_gate_sum(layer->weights + row * inputs, input, inputs, layer->bias[row], layer->multiplier[gate],
                                          layer->shift[gate]);

                if (step > 0) {
                    sum += ew_gate_sum(layer->recurrent + row * units, output - units, units, layer->recurrent_bias[row],
                                       layer->recurrent_multiplier[gate], layer->recurrent_shift[gate]);
                }
                gates[gate] = ew_to_int16(sum);
            }
            const int32_t news = ew_logistic(layer->sigmoid, gates[0]) * ew_tanh(layer->sigmoid, gates[2], 0);
            const int32_t old = ew_logistic(layer->sigmoid, gates[1]) * cell[unit];
            const int32_t kept = ew_to_int16(ew_requantize(old, layer->keep_multiplier, layer->keep_shift));
            const int32_t entered = ew_to_int16(ew_requantize(news, layer->enter_multiplier, layer->enter_shift));

            cell[unit] = (int16_t)ew_to_int16(kept + entered);

            const int32_t shown = ew_tanh(layer->sigmoid, cell[unit], layer->tanh_left) * ew_logistic(layer->sigmoid, gates[3]);

            output[unit] = ew_clamp(ew_requantize(shown, layer->output_multiplier, layer->output_shift), layer->output_zero_point, -128, 127);
        }
        input += inputs;
        output += units;
    }
}

#endif
