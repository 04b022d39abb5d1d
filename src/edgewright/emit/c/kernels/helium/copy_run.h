/* Copies of a few bytes, sixteen at a time. */
#ifndef EW_COPY_RUN_H
#define EW_COPY_RUN_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* The places do not overlap; bytes >= 0. */
static inline void ew_copy_run(int8_t *restrict to, const int8_t *restrict from, int32_t bytes)
{
    __asm__ volatile("wlstp.8 lr, %[bytes], 2f\n\t"
                     "1:\n\t"
                     "vldrb.8 q0, [%[from]], #16\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 1b\n\t"
                     "2:\n\t"
                     : [to] "+r"(to), [from] "+r"(from)
                     : [bytes] "r"(bytes)
                     : "q0", "lr", "memory");
}

#endif
