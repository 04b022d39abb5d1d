/* Files and exit of a host. */
#ifndef EW_STDIO_FILES_H
#define EW_STDIO_FILES_H

#include <stdio.h>
#include <stdlib.h>

typedef FILE *ew_file;

static inline ew_file ew_open(const char *name, int writing) { return fopen(name, writing ? "wb" : "rb"); }
static inline int ew_is_open(ew_file file) { return file != NULL; }
static inline int ew_read(ew_file file, void *to, size_t size) { return fread(to, 1, size, file) == size; }
static inline int ew_write(ew_file file, const void *from, size_t size) { return fwrite(from, 1, size, file) == size; }
static inline int ew_close(ew_file file) { return fclose(file) == 0; }
static inline void ew_exit(int status) { exit(status); }

#endif
