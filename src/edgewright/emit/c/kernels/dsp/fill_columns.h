/* The inputs of four output positions as the columns of a matrix product. */
#ifndef EW_FILL_COLUMNS_H
#define EW_FILL_COLUMNS_H

#include "gather_rows.h"
#include "unpack_4.h"

/* The places of four windows in the picture: their first rows and columns. */
struct ew_windows {
    int32_t top[4], left[4];
};

/* `rows` times `run` bytes, more than one, that begin `line` bytes apart, one after the other. Whole words are copied: what is too much of a
 * row lies before the end of the next one, and is written over by it. */
static inline void ew_take_rows(int8_t *to, const int8_t *from, int32_t rows, int32_t run, int32_t line)
{
    for (; rows > 1; rows--) {
        int8_t *const end = to + run;
        const int8_t *word = from;

        for (; to < end; to += 4, word += 4) {
            EW_COPY_4(to, word);
        }
        to = end;
        from += line;
    }
    ew_take(to, run, from);
}

/* Output positions are taken row by row: the one that comes next, and how many there are. */
struct ew_walk {
    int32_t position, positions, y, x;
};

/* The windows of the next four positions, and where in the output their results begin (`at`): missing ones are the last one again. */
EW_INLINE void ew_next_four(const struct ew_window *window, struct ew_walk *walk, struct ew_windows *four, int32_t at[4])
{
    for (int c = 0; c < 4; c++) {
        if (walk->position + c < walk->positions) {
            at[c] = (walk->position + c) * window->output_channels;
            four->left[c] = walk->x * window->stride_width - window->padding_left;
            four->top[c] = walk->y * window->stride_height - window->padding_top;
            walk->x++;
            if (walk->x == window->output_width) {
                walk->x = 0;
                walk->y++;
            }
        } else {
            at[c] = at[c - 1];
            four->top[c] = four->top[c - 1];
            four->left[c] = four->left[c - 1];
        }
    }
}

/* `channels` channels, the first of them at `input`. `bytes`: room for a row of a window that is all zero points, and for one row of each of
 * the four; where four does not divide the bytes of such a row, for four whole windows, rounded up to fours, instead. `fours`: four divides
 * them, whatever the layer. */
EW_INLINE void ew_fill_columns(const struct ew_window *window, const struct ew_windows *four, int32_t channels, int8_t fill, const int fours,
                               const int8_t *input, int8_t *bytes, int32_t *columns)
{
    const int32_t run = window->kernel_width * channels;
    const int32_t line = window->input_width * window->dilation_height * channels;
    /* The last column in which a row of the window is one run of bytes, and the last row in which the whole window is in the picture. */
    const int32_t last_left = window->dilation_width == 1 && channels == window->input_channels ? window->input_width - window->kernel_width : -1;
    const int32_t last_top = window->input_height - 1 - (window->kernel_height - 1) * window->dilation_height;
    const int8_t *from[4];
    int32_t within = 0; /* a bit for each window that lies within the picture in pieces of a row */

    for (int c = 0; c < 4; c++) {
        from[c] = input + (four->top[c] * window->input_width + four->left[c]) * channels;
        if (four->left[c] >= 0 && four->left[c] <= last_left && four->top[c] >= 0 && four->top[c] <= last_top) {
            within |= 1 << c;
        }
    }
    if (within == 15 && (fours || run % 4 == 0)) {
        ew_unpack_4(from, window->kernel_height, run / 4, line - run, columns);
    } else if (!fours && run % 4 != 0) {
        const int32_t length = (window->kernel_height * run + 3) & ~3;

        for (int c = 0; c < 4; c++) {
            if ((within >> c & 1) != 0 && run > 1) {
                ew_take_rows(bytes + c * length, from[c], window->kernel_height, run, line);
            } else {
                ew_gather_rows(window, four->top[c], window->kernel_height, four->left[c], channels, fill, input, bytes + c * length);
            }
            from[c] = bytes + c * length;
        }
        ew_unpack_4(from, 1, length / 4, 0, columns);
    } else {
        for (int32_t ky = 0; ky < window->kernel_height; ky++) {
            for (int c = 0; c < 4; c++) {
                const int32_t row = four->top[c] + ky * window->dilation_height;
                const int32_t left = four->left[c];

                if ((uint32_t)row >= (uint32_t)window->input_height) {
                    from[c] = bytes;
                } else if (left >= 0 && left <= last_left) {
                    from[c] = input + (row * window->input_width + left) * channels;
                } else {
                    from[c] = bytes + (c + 1) * run;
                    ew_gather_rows(window, row, 1, left, channels, fill, input, bytes + (c + 1) * run);
                }
            }
            columns = ew_unpack_4(from, 1, run / 4, 0, columns);
        }
    }
}

#endif
