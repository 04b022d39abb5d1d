/* The input of one output position, as one column of bytes. */
#ifndef EW_GATHER_COLUMN_H
#define EW_GATHER_COLUMN_H

#include <arm_mve.h>

#include "kernel.h"
#include "window.h"

/* bytes >= 1. */
static inline void ew_fill_run(int8_t *to, int32_t bytes, int8_t fill)
{
    __asm__ volatile("vdup.8 q0, %[fill]\n\t"
                     "dlstp.8 lr, %[bytes]\n\t"
                     "1:\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 1b\n\t"
                     : [to] "+r"(to)
                     : [bytes] "r"(bytes), [fill] "r"(fill)
                     : "q0", "lr", "memory");
}

/* `rows` (at least one) times `bytes` (at least one) bytes; steps lead from row to row. */
static inline void ew_copy_rows(int8_t *restrict to, int32_t to_step, const int8_t *restrict from, int32_t from_step, int32_t bytes, int32_t rows)
{
    const int32_t walked = (bytes + 15) & ~15;

    __asm__ volatile("1:\n\t"
                     "dlstp.8 lr, %[bytes]\n\t"
                     "2:\n\t"
                     "vldrb.8 q0, [%[from]], #16\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 2b\n\t"
                     "subs %[rows], %[rows], #1\n\t"
                     "add %[from], %[from], %[from_step]\n\t"
                     "add %[to], %[to], %[to_step]\n\t"
                     "bne 1b\n\t"
                     : [to] "+r"(to), [from] "+r"(from), [rows] "+r"(rows)
                     : [bytes] "r"(bytes), [from_step] "r"(from_step - walked), [to_step] "r"(to_step - walked)
                     : "q0", "lr", "cc", "memory");
}

/* Of `taps` places `spread` apart, the first at `start`, those within 0 ... size - 1: from *first to *last - 1. */
static inline void ew_clip_taps(int32_t start, int32_t taps, int32_t spread, int32_t size, int32_t *first, int32_t *last)
{
    *first = start >= 0 ? 0 : spread == 1 ? -start : (-start + spread - 1) / spread;
    *last = start + (taps - 1) * spread < size ? taps : spread == 1 ? size - start : (size - start + spread - 1) / spread;
}

/* Writes kernel_height x kernel_width x channels bytes to `column`: what the window whose corner is (top, left) sees of `channels` channels,
 * `input` pointing to the first of them; `fill` where it reaches beyond the picture. */
EW_KERNEL void ew_gather_column(const struct ew_window *window, int32_t top, int32_t left, int32_t channels, int8_t fill, const int8_t *restrict input,
                                int8_t *restrict column)
{
    const int32_t run = window->kernel_width * channels;
    const int32_t pitch = window->input_width * window->input_channels;
    int32_t y0, y1, x0, x1;

    ew_clip_taps(top, window->kernel_height, window->dilation_height, window->input_height, &y0, &y1);
    ew_clip_taps(left, window->kernel_width, window->dilation_width, window->input_width, &x0, &x1);
    if (x1 - x0 < window->kernel_width || y1 - y0 < window->kernel_height) {
        ew_fill_run(column, window->kernel_height * run, fill);
        if (x1 <= x0 || y1 <= y0) {
            return;
        }
    }
    column += y0 * run + x0 * channels;
    input += (top + y0 * window->dilation_height) * pitch + (left + x0 * window->dilation_width) * window->input_channels;
    if (window->dilation_width == 1 && channels == window->input_channels) {
        ew_copy_rows(column, run, input, window->dilation_height * pitch, (x1 - x0) * channels, y1 - y0);
        return;
    }
    for (; y0 < y1; y0++) {
        ew_copy_rows(column, channels, input, window->dilation_width * window->input_channels, channels, x1 - x0);
        column += run;
        input += window->dilation_height * pitch;
    }
}

#endif
