/* The driver's machine on a host: processor time instead of a stack. */
#include "driver.h"

#include <time.h>

void ew_mark(uint16_t region) { (void)region; }

uint32_t ew_call(void (*run)(void))
{
    const clock_t start = clock();
    run();
    return (uint32_t)((double)(clock() - start) * 1e6 / (double)CLOCKS_PER_SEC);
}

int ew_stack_overflowed(void) { return 0; }

uint32_t ew_stack_used(void) { return 0; }
