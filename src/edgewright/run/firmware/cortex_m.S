/* Cortex-M: vectors, reset, the marker, the call of the network on its own stack, faults. Armv6-M instructions only, but for what is in #if. */
    .syntax unified
    .thumb

    .section .ew_vectors, "a", %progbits
    .global ew_vectors
ew_vectors:
    .word ew_firmware_stack_top
    .word ew_reset
    .rept 14
    .word ew_trap
    .endr

    .text
    .global ew_reset
    .type ew_reset, %function
    .thumb_func
ew_reset:
#if defined(__ARM_FEATURE_MVE) || defined(__ARM_FP)
    ldr r0, =0xe000ed88          /* CPACR: full access to CP10 and CP11 */
    ldr r1, [r0]
    ldr r2, =0x00f00000
    orrs r1, r2
    str r1, [r0]
    dsb
    isb
#endif
    bl ew_main
    b .
    .ltorg

/* void ew_mark(uint16_t region): jumps to the region's place in a table of returns. The profiler sees the address; nothing is stored. */
    .balign 4
    .global ew_mark
    .type ew_mark, %function
    .thumb_func
ew_mark:
    lsrs r1, r0, #12
    bne 1f
    ldr r1, =ew_mark_table + 1
    adds r0, r0, r0
    adds r1, r1, r0
    bx r1
1:  udf #0                       /* more layers than the table has places */
    .ltorg
    .global ew_mark_table
ew_mark_table:
    .rept 4096
    bx lr
    .endr
    .global ew_mark_end
ew_mark_end:

/* void ew_call_on(void (*run)(void), uint32_t *stack_top): the process stack is the network's, the main stack the driver's. */
    .global ew_call_on
    .type ew_call_on, %function
    .thumb_func
ew_call_on:
    push {r4, lr}
    mov r4, r0
    msr psp, r1
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__) || (__ARM_ARCH == 8 && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2)
    ldr r0, =ew_stack_limit
    msr psplim, r0
#endif
    mrs r0, control
    movs r1, #2
    orrs r0, r1
    msr control, r0
    isb
    movs r0, #0
    bl ew_mark
    blx r4
    ldr r0, =4094
    bl ew_mark
    mrs r0, control
    movs r1, #2
    bics r0, r1
    msr control, r0
    isb
    pop {r4, pc}
    .ltorg

/* Every fault ends here, on the main stack. The frame is on the process stack, where that could be written. */
    .type ew_trap, %function
    .thumb_func
ew_trap:
    mrs r2, psp
    movs r3, #0
    ldr r0, =0xe000ed28          /* CFSR; zero on Armv6-M */
    ldr r1, [r0]
    ldr r0, =0x00101010          /* STKOF, STKERR, MSTKERR: the frame itself did not fit */
    tst r1, r0
    beq 1f
    movs r3, #1
    movs r0, #0
    b 2f
1:  ldr r0, =ew_stack_limit
    cmp r2, r0
    blo 3f
    ldr r0, [r2, #24]            /* the stacked program counter */
    b 2f
3:  movs r0, #0
2:  bl ew_fault
    b .
    .ltorg
