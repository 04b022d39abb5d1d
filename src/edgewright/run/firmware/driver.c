/* Runs a network over a file of inputs, many inferences a boot, and writes its outputs and how deep its stack went.
 *
 * Compiled with -DEW_HEADER="kws.h" -DEW_NETWORK=kws -DEW_INPUTS=KWS_INPUTS -DEW_OUTPUTS=KWS_OUTPUTS.
 * inputs:  magic, inferences, 1 to reset the state before each, number of inputs, their sizes (uint32 each); then the inputs of every inference.
 * outputs: the outputs of every inference.   record: struct ew_record.
 */
#include "driver.h"

#include EW_HEADER

#define EW_PASTE_(a, b) a##b
#define EW_PASTE(a, b) EW_PASTE_(a, b)
#define EW_CALL(name) EW_PASTE(EW_NETWORK, name)

#define EW_HEADER_WORDS 4u

static struct ew_record record = {EW_RECORD_MAGIC, EW_DONE, 0, 0, 0, 0, 0};

void ew_finish(uint32_t status, uint32_t detail, uint32_t detail2)
{
    record.status = status;
    record.detail = detail;
    record.detail2 = detail2;
    record.peak_stack_bytes = ew_stack_used();
    const ew_file file = ew_open(EW_RECORD_FILE, 1);
    if (!ew_is_open(file) || !ew_write(file, &record, sizeof record) || !ew_close(file)) {
        ew_exit(EW_CANNOT_WRITE);
    }
    ew_exit((int)status);
}

/* detail is the input at fault (the number of inputs where that is wrong), detail2 what the network takes. */
static void check_inputs(ew_file file)
{
    uint32_t size;
    if (record.detail2 != (uint32_t)EW_INPUTS) {
        ew_finish(EW_BAD_INPUTS, EW_INPUTS, UINT32_MAX);
    }
    for (size_t i = 0; i < EW_INPUTS; ++i) {
        if (!ew_read(file, &size, sizeof size)) {
            ew_finish(EW_CANNOT_READ, 0, 0);
        }
        if (size != EW_CALL(_input_bytes)(i)) {
            ew_finish(EW_BAD_INPUTS, (uint32_t)i, (uint32_t)EW_CALL(_input_bytes)(i));
        }
    }
}

#ifdef EW_STREAMED
/* The network reads its input where it lies: here. */
static int8_t outside[EW_STREAMED] __attribute__((aligned(16)));

static void run(void)
{
    EW_CALL(_run_from)(outside);
}

static void *input(size_t index)
{
    return index == 0 ? outside : NULL;
}
#else
#define run EW_CALL(_run)
#define input EW_CALL(_input)
#endif

static void run_once(ew_file from, ew_file to, uint32_t reset)
{
    if (reset) {
        EW_CALL(_reset)();
    }
    for (size_t i = 0; i < EW_INPUTS; ++i) {
        if (!ew_read(from, input(i), EW_CALL(_input_bytes)(i))) {
            ew_finish(EW_CANNOT_READ, 0, 0);
        }
    }
    record.microseconds += ew_call(run);
    if (ew_stack_overflowed()) {
        ew_finish(EW_STACK_OVERFLOW, 0, 0);
    }
    for (size_t i = 0; i < EW_OUTPUTS; ++i) {
        if (!ew_write(to, EW_CALL(_output)(i), EW_CALL(_output_bytes)(i))) {
            ew_finish(EW_CANNOT_WRITE, 0, 0);
        }
    }
    ++record.inferences;
}

int main(void)
{
    uint32_t header[EW_HEADER_WORDS];
    ew_mark(EW_REGION_DRIVER);
    const ew_file from = ew_open(EW_INPUTS_FILE, 0);
    if (!ew_is_open(from) || !ew_read(from, header, sizeof header) || header[0] != EW_INPUTS_MAGIC) {
        ew_finish(EW_CANNOT_READ, 0, 0);
    }
    record.detail2 = header[3];
    check_inputs(from);
    const ew_file to = ew_open(EW_OUTPUTS_FILE, 1);
    if (!ew_is_open(to)) {
        ew_finish(EW_CANNOT_WRITE, 0, 0);
    }
    for (uint32_t n = 0; n < header[1]; ++n) {
        run_once(from, to, header[2]);
    }
    if (!ew_close(to)) {
        ew_finish(EW_CANNOT_WRITE, 0, 0);
    }
    ew_finish(EW_DONE, 0, 0);
    return 0;
}
