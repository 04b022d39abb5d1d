/* RV32: reset, the marker, the call of the network on its own stack, traps. The flash is write-protected, what lies below the RAM forbidden. */
    .equ REGION_BYTES, 0x02000000

    .section .ew_vectors, "ax", @progbits
    .global ew_reset
ew_reset:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, ew_firmware_stack_top
    la t0, ew_trap
    csrw mtvec, t0

    /* Physical memory protection: 32 MiB below the RAM no access, the 32 MiB of flash below that read and execute; both hold for machine mode. */
    la t0, ew_ram_origin
    li t1, REGION_BYTES
    sub t0, t0, t1
    li t2, REGION_BYTES / 2 - 1
    or t3, t0, t2
    srli t3, t3, 2
    csrw pmpaddr0, t3
    sub t0, t0, t1
    or t3, t0, t2
    srli t3, t3, 2
    csrw pmpaddr1, t3
    li t0, 0x9d98                /* entry 1: locked, naturally aligned, RX; entry 0: locked, naturally aligned, nothing */
    csrw pmpcfg0, t0
    call ew_main
    j .

    .text
/* void ew_mark(uint16_t region): jumps to the region's place in a table of returns. The profiler sees the address; nothing is stored. */
    .balign 4
    .global ew_mark
    .type ew_mark, @function
ew_mark:
    srli t0, a0, 12
    bnez t0, 1f
    la t0, ew_mark_table
    slli a0, a0, 1
    add t0, t0, a0
    jr t0
1:  unimp                        /* more layers than the table has places */
    .balign 4
    .global ew_mark_table
ew_mark_table:
    .option push
    .option rvc
    .rept 4096
    c.jr ra
    .endr
    .option pop
    .global ew_mark_end
ew_mark_end:

/* void ew_call_on(void (*run)(void), uint32_t *stack_top) */
    .global ew_call_on
    .type ew_call_on, @function
ew_call_on:
    addi sp, sp, -16
    sw ra, 12(sp)
    sw s0, 8(sp)
    sw s1, 4(sp)
    mv s0, sp
    mv s1, a0
    mv sp, a1
    li a0, 0
    call ew_mark
    jalr s1
    li a0, 4094
    call ew_mark
    mv sp, s0
    lw s1, 4(sp)
    lw s0, 8(sp)
    lw ra, 12(sp)
    addi sp, sp, 16
    ret

/* int32_t ew_semihosting(uint32_t operation, const void *block): three uncompressed instructions in one page are the call. */
    .balign 16
    .global ew_semihosting
    .type ew_semihosting, @function
ew_semihosting:
    .option push
    .option norvc
    slli zero, zero, 0x1f
    ebreak
    srai zero, zero, 7
    .option pop
    ret

    .balign 4
ew_trap:
    mv a2, sp
    la sp, ew_firmware_stack_top
    csrr a0, mepc
    csrr a1, mcause
    li a3, 0
    /* A load or store fault in the guard below the RAM is the stack's. */
    li t0, 5
    beq a1, t0, 1f
    li t0, 7
    bne a1, t0, 2f
1:  csrr t1, mtval
    la t2, ew_ram_origin
    bgeu t1, t2, 2f
    li t3, REGION_BYTES
    sub t2, t2, t3
    bltu t1, t2, 2f
    li a3, 1
2:  call ew_fault
    j .
