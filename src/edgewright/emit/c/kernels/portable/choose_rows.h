/* Rows of a table, chosen by int32 indices; one outside of the table counts as the nearest inside. */
#ifndef EW_CHOOSE_ROWS_H
#define EW_CHOOSE_ROWS_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

struct ew_choose_rows {
    int32_t count, rows, bytes;
};

EW_KERNEL void ew_choose_rows(const struct ew_choose_rows *layer, const void *table, const int32_t *indices, void *to)
{
    char *out = (char *)to;

    for (int32_t n = 0; n < layer->count; n++) {
        int32_t row = indices[n];

        row = row < 0 ? 0 : row >= layer->rows ? layer->rows - 1 : row;
        memcpy(out, (const char *)table + (size_t)row * (size_t)layer->bytes, (size_t)layer->bytes);
        out += layer->bytes;
    }
}

#endif
