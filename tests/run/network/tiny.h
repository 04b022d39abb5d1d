/* A network written by hand, with the interface of generated ones: a dense layer, a counted loop, a running sum. */
#ifndef TINY_H
#define TINY_H

#include <stddef.h>
#include <stdint.h>

#define TINY_ARENA_BYTES 80
#define TINY_INPUTS 2
#define TINY_OUTPUTS 2
#define TINY_INPUT_0_BYTES 16   /* int8 [1, 16] */
#define TINY_INPUT_1_BYTES 8    /* int16 [1, 4] */
#define TINY_OUTPUT_0_BYTES 16  /* int32 [1, 4] */
#define TINY_OUTPUT_1_BYTES 4   /* int32 [1] */

void *tiny_input(size_t index);
const void *tiny_output(size_t index);
size_t tiny_input_bytes(size_t index);
size_t tiny_output_bytes(size_t index);
void tiny_run(void);
void tiny_reset(void);

#endif
