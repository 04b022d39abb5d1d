/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Counts, exactly, how often a QEMU guest executes every translation block, apart for each region of its program.
 *
 * A region begins when the guest reaches an address in a table of 2-byte returns: the return number r, at table + 2 r, begins region r
 * (ew_mark in firmware/). Instructions from mark to end, the marker's own, are not counted.
 *
 * Arguments: out=FILE, mark=HEX, table=HEX, end=HEX, and aligned=on to look for unaligned accesses as well, which QEMU allows where devices
 * do not; memories=HEX-HEX+HEX-HEX... to count the bytes moved in each of these spans of addresses (first, and after the last).
 * The file has, for every stay in a region,
 *     R <region>
 *     B <first address> <last instruction's address> <instructions> <times> <times then at last + 2> <times then at last + 4>
 *     U <instruction's address> <accesses that were not aligned to their size>
 *     M <memory, counted from 0> <bytes read> <bytes written>
 * where the last two of B tell how often the block was followed by what stands behind its last instruction, whose size QEMU does not report
 * reliably at the end of a page (7.2): the reader knows the size and picks one.
 *
 * The prototypes are those of QEMU's public plugin interface, the same from version 1 (QEMU 4.2) on; no header is needed to build.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef EW_PLUGIN_API
#define EW_PLUGIN_API 1
#endif
#define EW_EXPORT __attribute__((visibility("default")))
#define EW_NO_REGISTERS 0 /* QEMU_PLUGIN_CB_NO_REGS */
#define EW_READS_AND_WRITES 3
#define EW_FIRST_REGION 4095
#define EW_MOST_MEMORIES 8

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*callback)(unsigned int, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction, void (*callback)(unsigned int, uint32_t, uint64_t, void *), int flags,
                                      int reads_or_writes, void *data);
unsigned int qemu_plugin_mem_size_shift(uint32_t info);
bool qemu_plugin_mem_is_store(uint32_t info);

EW_EXPORT int qemu_plugin_version = EW_PLUGIN_API;

struct block {
    uint64_t first, last;
    size_t instructions;
    uint64_t times, then_2, then_4;
    struct block *next_touched; /* list of those executed since the region began */
};

struct access {
    uint64_t address, unaligned;
    struct access *next; /* list of those seen unaligned since the region began */
};

struct memory {
    uint64_t first, end, read, written;
};

static FILE *out;
static struct memory memories[EW_MOST_MEMORIES];
static size_t memory_count;
static bool look_at_accesses;
static uint64_t mark, table, end;
static unsigned region = EW_FIRST_REGION;
static struct block *touched, *previous;
static struct access *unaligned;

static void write_region(void)
{
    fprintf(out, "R %u\n", region);
    for (struct block *block = touched; block != NULL; block = block->next_touched) {
        fprintf(out, "B %" PRIx64 " %" PRIx64 " %zu %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", block->first, block->last, block->instructions,
                block->times, block->then_2, block->then_4);
        block->times = block->then_2 = block->then_4 = 0;
    }
    touched = NULL;
    for (struct access *access = unaligned; access != NULL; access = access->next) {
        fprintf(out, "U %" PRIx64 " %" PRIu64 "\n", access->address, access->unaligned);
        access->unaligned = 0;
    }
    unaligned = NULL;
    for (size_t i = 0; i < memory_count; ++i) {
        if (memories[i].read + memories[i].written != 0) {
            fprintf(out, "M %zu %" PRIu64 " %" PRIu64 "\n", i, memories[i].read, memories[i].written);
        }
        memories[i].read = memories[i].written = 0;
    }
}

static void on_block(unsigned int cpu, void *data)
{
    struct block *block = data;
    (void)cpu;
    if (previous != NULL) {
        previous->then_2 += previous->last + 2 == block->first;
        previous->then_4 += previous->last + 4 == block->first;
    }
    if (block->times++ == 0) {
        block->next_touched = touched;
        touched = block;
    }
    previous = block;
}

static void on_access(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
    (void)cpu;
    if ((address & ((1u << qemu_plugin_mem_size_shift(info)) - 1u)) != 0) {
        struct access *access = data;
        if (access->unaligned++ == 0) {
            access->next = unaligned;
            unaligned = access;
        }
    }
}

static void on_move(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
    (void)cpu;
    (void)data;
    for (size_t i = 0; i < memory_count; ++i) {
        if (address >= memories[i].first && address < memories[i].end) {
            *(qemu_plugin_mem_is_store(info) ? &memories[i].written : &memories[i].read) += 1u << qemu_plugin_mem_size_shift(info);
            return;
        }
    }
}

static bool read_memories(char *text)
{
    while (*text != '\0') {
        if (memory_count == EW_MOST_MEMORIES) {
            return false;
        }
        struct memory *memory = &memories[memory_count++];
        memory->first = strtoull(text, &text, 16);
        if (*text != '-') {
            return false;
        }
        memory->end = strtoull(text + 1, &text, 16);
        if (*text == '+') {
            ++text;
        } else if (*text != '\0') {
            return false;
        }
    }
    return true;
}

static void look_at(struct qemu_plugin_insn *instruction)
{
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL) {
        abort();
    }
    access->address = qemu_plugin_insn_vaddr(instruction);
    qemu_plugin_register_vcpu_mem_cb(instruction, on_access, EW_NO_REGISTERS, EW_READS_AND_WRITES, access);
}

static void on_marker(unsigned int cpu, void *data)
{
    const struct block *block = data;
    (void)cpu;
    previous = NULL;
    if (block->first >= table) {
        write_region();
        region = (unsigned)((block->first - table) / 2);
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    struct block *block = calloc(1, sizeof *block);
    (void)id;
    if (block == NULL) {
        abort();
    }
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->first = qemu_plugin_tb_vaddr(tb);
    block->last = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, block->instructions - 1));
    const bool is_marker = block->first >= mark && block->first < end;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, is_marker ? on_marker : on_block, EW_NO_REGISTERS, block);
    for (size_t i = 0; look_at_accesses && i < block->instructions; ++i) {
        look_at(qemu_plugin_tb_get_insn(tb, i));
    }
    for (size_t i = 0; memory_count != 0 && i < block->instructions; ++i) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_move, EW_NO_REGISTERS, EW_READS_AND_WRITES, NULL);
    }
}

static void on_end(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    write_region();
    fprintf(out, "E\n");
    fclose(out);
}

EW_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; ++i) {
        char *value = strchr(argv[i], '=');
        if (value == NULL) {
            return 1;
        }
        *value++ = '\0';
        if (strcmp(argv[i], "out") == 0) {
            out = fopen(value, "w");
        } else if (strcmp(argv[i], "mark") == 0) {
            mark = strtoull(value, NULL, 16);
        } else if (strcmp(argv[i], "table") == 0) {
            table = strtoull(value, NULL, 16);
        } else if (strcmp(argv[i], "end") == 0) {
            end = strtoull(value, NULL, 16);
        } else if (strcmp(argv[i], "aligned") == 0) {
            look_at_accesses = strcmp(value, "on") == 0;
        } else if (strcmp(argv[i], "memories") == 0) {
            if (!read_memories(value)) {
                return 1;
            }
        } else {
            return 1;
        }
    }
    if (out == NULL || mark == 0 || table < mark || end <= table) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
