/* What the driver needs of the machine under it. Two machines: a bare device with semihosting (device.c), and a host (host.c). */
#ifndef EW_DRIVER_H
#define EW_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef EW_HOSTED
#include "stdio_files.h"
#else
#include "semihosting.h"
#endif

enum ew_status {
    EW_DONE = 0,
    EW_BAD_INPUTS = 1,    /* the file of inputs is not what this network takes */
    EW_CANNOT_READ = 2,
    EW_CANNOT_WRITE = 3,
    EW_STACK_OVERFLOW = 4,
    EW_FAULT = 5          /* detail is the program counter, detail2 the fault's status */
};

/* Regions of the marker from 1 on are the network's layers; 0 is what no layer owns. */
enum ew_region { EW_REGION_NETWORK = 0, EW_REGION_DRIVER = 4094, EW_REGION_STARTUP = 4095 };

#define EW_INPUTS_FILE "inputs"
#define EW_OUTPUTS_FILE "outputs"
#define EW_RECORD_FILE "record"
#define EW_INPUTS_MAGIC 0x4e495745u
#define EW_RECORD_MAGIC 0x43525745u

/* Written last, read by the runner. */
struct ew_record {
    uint32_t magic;
    uint32_t status;
    uint32_t inferences;
    uint32_t peak_stack_bytes;
    uint32_t detail;
    uint32_t detail2;
    uint32_t microseconds;  /* of processor time in the network; hosts alone */
};

/* Tells the profiler that another region begins. Does nothing else. */
void ew_mark(uint16_t region);

/* Calls the network, on a stack of its own where the machine has no other way to measure it. Gives microseconds, or 0. */
uint32_t ew_call(void (*run)(void));
int ew_stack_overflowed(void);
uint32_t ew_stack_used(void);

/* Writes the record and leaves. */
void ew_finish(uint32_t status, uint32_t detail, uint32_t detail2);

#endif
