/* What up to eight output positions see of the input: where it lies, or gathered. */
#ifndef EW_FIND_POSITIONS_H
#define EW_FIND_POSITIONS_H

#include "gather_column.h"
#include "lanes.h"

/* The next output position. */
struct ew_walk {
    int32_t y, x;
};

/* Where the windows of `count` output positions begin; beyond `count`, that of the first again. Bit p of `outside`: window p reaches beyond the
 * picture. */
struct ew_corners {
    int32_t count;
    uint32_t outside;
    int32_t top[EW_POSITIONS], left[EW_POSITIONS];
};

#if defined(EW_AVX512)
#include "find_avx512.h"
#else

/* Bit p: window p reaches beyond the picture. */
static inline uint32_t ew_windows_outside(const struct ew_window *window, const struct ew_corners *corners)
{
    const int32_t bottom = window->input_height - (window->kernel_height - 1) * window->dilation_height;
    const int32_t right = window->input_width - (window->kernel_width - 1) * window->dilation_width;
    uint32_t outside = 0;

    for (int32_t p = 0; p < EW_POSITIONS; p++) {
        const int32_t top = corners->top[p], left = corners->left[p];

        outside |= (uint32_t)((top < 0) | (top >= bottom) | (left < 0) | (left >= right)) << p;
    }
    return outside;
}

/* The rows of windows within the picture, eight pointers each. */
static inline void ew_find_rows(const struct ew_window *window, const struct ew_corners *corners, const int8_t *input, const int8_t **first)
{
    const int32_t row = window->input_width * window->input_channels;

    for (int32_t p = 0; p < EW_POSITIONS; p++) {
        first[p] = input + corners->top[p] * row + corners->left[p] * window->input_channels;
    }
    for (int32_t i = EW_POSITIONS; i < EW_POSITIONS * window->kernel_height; i++) {
        first[i] = first[i - EW_POSITIONS] + window->dilation_height * row;
    }
}

/* The pixels of windows, eight pointers each; `fill` beyond the picture. */
static inline void ew_find_pixels(const struct ew_window *window, const struct ew_corners *corners, const int8_t *input, const int8_t *fill,
                                  const int8_t **first)
{
    for (int32_t p = 0; p < EW_POSITIONS; p++) {
        const int8_t **tap = first + p;
        int32_t y = corners->top[p];

        for (int32_t ky = 0; ky < window->kernel_height; ky++) {
            const int32_t row = y * window->input_width, below = y >= 0 && y < window->input_height ? window->input_width : 0;
            int32_t x = corners->left[p];

            for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                *tap = x >= 0 && x < below ? input + (row + x) * window->input_channels : fill;
                tap += EW_POSITIONS;
                x += window->dilation_width;
            }
            y += window->dilation_height;
        }
    }
}

#endif

/* The next `count` positions, row by row. */
static inline struct ew_corners ew_walk_on(const struct ew_window *window, struct ew_walk *walk, int32_t count)
{
    struct ew_corners corners;

    corners.count = count;
    for (int32_t p = 0; p < EW_POSITIONS; p++) {
        if (p < count) {
            corners.top[p] = walk->y * window->stride_height - window->padding_top;
            corners.left[p] = walk->x * window->stride_width - window->padding_left;
            walk->x++;
            if (walk->x == window->output_width) {
                walk->x = 0;
                walk->y++;
            }
        } else {
            corners.top[p] = corners.top[0];
            corners.left[p] = corners.left[0];
        }
    }
    corners.outside = ew_windows_outside(window, &corners);
    return corners;
}

/* What each position sees as one run in `columns`, with zeros up to whole fours; up to sixteen bytes more are written. */
static inline void ew_gather_positions(const struct ew_window *window, const struct ew_corners *corners, int32_t channels, int8_t zero_point,
                                       const int8_t *restrict input, int8_t *restrict columns, const int8_t **first)
{
    const int32_t run = window->kernel_width * channels, length = window->kernel_height * run, padded = (length + 3) / 4 * 4;
    const int32_t row = window->input_width * channels, end = window->input_height * row;
    const int32_t span = (window->kernel_height - 1) * window->dilation_height * row + 16;
    const int short_runs = run <= 16 && window->dilation_width == 1 && channels == window->input_channels;

    for (int32_t p = 0; p < corners->count; p++) {
        const int32_t start = corners->top[p] * row + corners->left[p] * channels;
        int8_t *column = columns + p * padded;

        if (short_runs && !(corners->outside >> p & 1u) && start + span <= end) {
            for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                memcpy(column + ky * run, input + start + ky * window->dilation_height * row, 16);
            }
        } else {
            ew_gather_column(window, (corners->top[p] + window->padding_top) / window->stride_height,
                             (corners->left[p] + window->padding_left) / window->stride_width, channels, zero_point, input, column);
        }
        for (int32_t i = length; i < padded; i++) {
            column[i] = 0;
            EW_KEEP_LOOP();
        }
        first[p] = column;
    }
    for (int32_t p = corners->count; p < EW_POSITIONS; p++) {
        first[p] = first[0];
    }
}

#endif
