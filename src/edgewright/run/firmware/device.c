/* The driver's machine on a bare device: memory set up after reset, the network's stack painted and measured, faults reported. */
#include "driver.h"

#define EW_PAINT 0xa5c3965au

/* From the linker script. */
extern uint32_t ew_data_load[], ew_data_start[], ew_data_end[], ew_bss_start[], ew_bss_end[];
extern uint32_t ew_firmware_load[], ew_firmware_data_start[], ew_firmware_data_end[], ew_firmware_bss_start[], ew_firmware_bss_end[];
extern uint32_t ew_stack_limit[], ew_stack_top[];


/* Memory beside the RAM, by the linker script: filled from `from`, or cleared where that is NULL. */
struct ew_memory {
    uint32_t *from;
    uint32_t *start;
    uint32_t *end;
};
extern const struct ew_memory ew_memories_start[], ew_memories_end[];

int main(void);
void ew_call_on(void (*run)(void), uint32_t *stack_top);
void ew_main(void);
void ew_fault(uint32_t program_counter, uint32_t status, uint32_t stack_pointer, uint32_t is_overflow);

static void copy(uint32_t *to, const uint32_t *end, const uint32_t *from)
{
    while (to < end) {
        *to++ = *from++;
    }
}

static void fill(uint32_t *to, const uint32_t *end, uint32_t value)
{
    while (to < end) {
        *to++ = value;
    }
}

/* What an application does as well comes first: it is counted as the start. */
void ew_main(void)
{
    copy(ew_data_start, ew_data_end, ew_data_load);
    fill(ew_bss_start, ew_bss_end, 0);
    for (const struct ew_memory *memory = ew_memories_start; memory < ew_memories_end; ++memory) {
        if (memory->from == NULL) {
            fill(memory->start, memory->end, 0);
        } else {
            copy(memory->start, memory->end, memory->from);
        }
    }
    ew_mark(EW_REGION_DRIVER);
    copy(ew_firmware_data_start, ew_firmware_data_end, ew_firmware_load);
    fill(ew_firmware_bss_start, ew_firmware_bss_end, 0);
    fill(ew_stack_limit, ew_stack_top, EW_PAINT);
    (void)main();
}

uint32_t ew_call(void (*run)(void))
{
    ew_call_on(run, ew_stack_top);
    return 0;
}

int ew_stack_overflowed(void) { return ew_stack_limit[0] != EW_PAINT; }

uint32_t ew_stack_used(void)
{
    const uint32_t *lowest = ew_stack_limit;
    while (lowest < ew_stack_top && *lowest == EW_PAINT) {
        ++lowest;
    }
    return (uint32_t)((uintptr_t)ew_stack_top - (uintptr_t)lowest);
}

void ew_fault(uint32_t program_counter, uint32_t status, uint32_t stack_pointer, uint32_t is_overflow)
{
    const int below = stack_pointer < (uint32_t)(uintptr_t)ew_stack_limit;
    ew_finish(is_overflow || below ? EW_STACK_OVERFLOW : EW_FAULT, program_counter, status);
}
