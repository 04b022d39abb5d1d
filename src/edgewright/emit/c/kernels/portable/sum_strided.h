/* Sum of bytes at equal distances. */
#ifndef EW_SUM_STRIDED_H
#define EW_SUM_STRIDED_H

#include <stdint.h>

/* sum + from[0] + from[step] + ... , `count` of them. */
static inline int32_t ew_sum_strided(int32_t sum, const int8_t *from, int32_t count, int32_t step)
{
    for (; count >= 4; count -= 4) {
        sum += from[0] + from[step] + from[2 * step] + from[3 * step];
        from += 4 * step;
    }
    for (; count > 0; count--) {
        sum += *from;
        from += step;
    }
    return sum;
}

#endif
