/* Copies of a few bytes, without a call. */
#ifndef EW_COPY_RUN_H
#define EW_COPY_RUN_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* Where the last bytes do not fill a piece, the last piece overlaps the one before. */
static inline void ew_copy_run(int8_t *restrict to, const int8_t *restrict from, int32_t bytes)
{
    if (bytes >= 16) {
        for (int32_t i = 0; i < bytes - 16; i += 16) {
            memcpy(to + i, from + i, 16);
        }
        memcpy(to + bytes - 16, from + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(to, from, 8);
        memcpy(to + bytes - 8, from + bytes - 8, 8);
    } else if (bytes >= 4) {
        memcpy(to, from, 4);
        memcpy(to + bytes - 4, from + bytes - 4, 4);
    } else {
        for (int32_t i = 0; i < bytes; i++) {
            to[i] = from[i];
            EW_KEEP_LOOP();
        }
    }
}

#endif
