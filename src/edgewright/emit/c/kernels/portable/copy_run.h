/* Copies of a few bytes, without a call where the processor reads words from any address. */
#ifndef EW_COPY_RUN_H
#define EW_COPY_RUN_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

static inline void ew_copy_run(int8_t *restrict to, const int8_t *restrict from, int32_t bytes)
{
#if defined(__ARM_FEATURE_UNALIGNED)
    for (; bytes >= 4; bytes -= 4) {
        EW_COPY_4(to, from);
        to += 4;
        from += 4;
        EW_KEEP_LOOP();
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
        EW_KEEP_LOOP();
    }
#else
    memcpy(to, from, (size_t)bytes);
#endif
}

#endif
