/* How kernels are declared. */
#ifndef EW_KERNEL_H
#define EW_KERNEL_H

/* One copy of each, whatever the number of layers that call it: what a layer costs does not depend on its neighbours. */
#if defined(__GNUC__) && !defined(__clang__)
#define EW_KERNEL static __attribute__((noinline, noclone))
#elif defined(__clang__)
#define EW_KERNEL static __attribute__((noinline))
#else
#define EW_KERNEL static
#endif

/* Within a loop over a few bytes: leave it a loop, where the compiler would make it a call of memcpy or memset. */
#if defined(__GNUC__)
#define EW_KEEP_LOOP() __asm__ volatile("" ::: "memory")
#else
#define EW_KEEP_LOOP() ((void)0)
#endif

#endif
