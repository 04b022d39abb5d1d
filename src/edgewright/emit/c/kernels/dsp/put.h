/* Bytes of one value. */
#ifndef EW_PUT_H
#define EW_PUT_H

#include <stdint.h>

#include "kernel.h"

/* `count` of them. Returns where they end. */
EW_KERNEL int8_t *ew_put(int8_t *to, int32_t count, int8_t value)
{
    for (; count > 0; count--) {
        *to++ = value;
        EW_KEEP_LOOP();
    }
    return to;
}

#endif
