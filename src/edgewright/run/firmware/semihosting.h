/* Files and exit through the debugger: Arm's semihosting interface (Arm IHI 0100), which the RISC-V one repeats. */
#ifndef EW_SEMIHOSTING_H
#define EW_SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>

enum { EW_SYS_OPEN = 0x01, EW_SYS_CLOSE = 0x02, EW_SYS_WRITE = 0x05, EW_SYS_READ = 0x06, EW_SYS_EXIT_EXTENDED = 0x20 };
enum { EW_MODE_READ_BINARY = 1, EW_MODE_WRITE_BINARY = 5, EW_APPLICATION_EXIT = 0x20026 };

typedef int32_t ew_file;

#if defined(__arm__)
static inline int32_t ew_semihosting(uint32_t operation, const void *block)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}
#else
int32_t ew_semihosting(uint32_t operation, const void *block); /* rv32.S */
#endif

static inline ew_file ew_open(const char *name, int writing)
{
    uint32_t length = 0;
    while (name[length] != '\0') {
        ++length;
    }
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, writing ? EW_MODE_WRITE_BINARY : EW_MODE_READ_BINARY, length};
    return ew_semihosting(EW_SYS_OPEN, block);
}

static inline int ew_is_open(ew_file file) { return file >= 0; }

/* Reading and writing answer with the number of bytes left over. */
static inline int ew_read(ew_file file, void *to, size_t size)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, (uint32_t)size};
    return size == 0 || ew_semihosting(EW_SYS_READ, block) == 0;
}

static inline int ew_write(ew_file file, const void *from, size_t size)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, (uint32_t)size};
    return size == 0 || ew_semihosting(EW_SYS_WRITE, block) == 0;
}

static inline int ew_close(ew_file file)
{
    const uint32_t block[1] = {(uint32_t)file};
    return ew_semihosting(EW_SYS_CLOSE, block) == 0;
}

static inline void ew_exit(int status)
{
    const uint32_t block[2] = {EW_APPLICATION_EXIT, (uint32_t)status};
    for (;;) {
        (void)ew_semihosting(EW_SYS_EXIT_EXTENDED, block);
    }
}

#endif
