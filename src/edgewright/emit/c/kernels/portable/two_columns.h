/* What two neighbouring output positions see, as the columns of a matrix product. */
#ifndef EW_TWO_COLUMNS_H
#define EW_TWO_COLUMNS_H

#include "gather_column.h"
#include "kernel.h"
#include "multiply_rows.h"

/* An output position. */
struct ew_place {
    int32_t y, x;
};

/* The position after `place`, row by row. */
EW_INLINE struct ew_place ew_place_after(const struct ew_window *window, struct ew_place place)
{
    const int32_t x = place.x + 1 < window->output_width ? place.x + 1 : 0;
    const struct ew_place next = {x > 0 ? place.y : place.y + 1, x};

    return next;
}

/* The columns of `first` and, where there are `both`, of the position after it: gathered at `to`, or where `in_place` is not NULL, there. */
EW_INLINE void ew_take_columns(const struct ew_window *window, struct ew_place first, int both, int32_t channels, int8_t fill,
                               const int8_t *input, const int8_t *in_place, int8_t *to, struct ew_columns *columns)
{
    if (in_place != NULL) {
        columns->first = in_place;
        columns->second = both ? in_place + columns->length : in_place;
        return;
    }
    ew_gather_column(window, first.y, first.x, channels, fill, input, to);
    if (both) {
        const struct ew_place second = ew_place_after(window, first);

        ew_gather_column(window, second.y, second.x, channels, fill, input, to + columns->length);
    }
}

#endif
