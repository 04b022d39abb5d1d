/* Positions with output channels in plain C. */
#ifndef EW_MULTIPLY_PLAIN_H
#define EW_MULTIPLY_PLAIN_H

/* `many` positions from `first` on with sixteen channels from `channel` on. */
EW_INLINE void ew_multiply_block(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t first, int32_t many,
                                 int32_t channel, const struct ew_target *to)
{
    const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
    const int32_t left = matrix->channels - channel;
    const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;
    ew_sums sums[2];

    for (int32_t p = 0; p < many; p++) {
        sums[p] = ew_bias_of(&matrix->factors, channel);
    }
    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *const *from = positions->first + segment * EW_POSITIONS + first;

        for (int32_t at = 0; at < 4 * positions->quads; at += 4) {
            for (int32_t i = 0; i < EW_LANES; i++) {
                const int8_t *w = weights + 4 * i;

                for (int32_t p = 0; p < many; p++) {
                    const int8_t *x = from[p] + at;
                    const int32_t four = w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];

                    sums[p].lane[i] = (int32_t)((uint32_t)sums[p].lane[i] + (uint32_t)four);
                }
            }
            weights += 4 * EW_LANES;
        }
    }
    for (int32_t p = 0; p < many; p++) {
        ew_put_sums(&scaling, sums[p], to->output + channel + (first + p) * to->step, left < EW_LANES ? left : EW_LANES);
    }
}

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
    for (int32_t channel = 0; channel < matrix->channels; channel += EW_LANES) {
        int32_t first = 0;

        for (; first + 1 < to->count; first += 2) {
            ew_multiply_block(matrix, positions, first, 2, channel, to);
        }
        if (first < to->count) {
            ew_multiply_block(matrix, positions, first, 1, channel, to);
        }
    }
}

#endif
