/* How kernels are declared. */
#ifndef EW_KERNEL_H
#define EW_KERNEL_H

#include <string.h>

/* One copy of each, whatever the number of layers that call it: what a layer costs does not depend on its neighbours. */
#if defined(__GNUC__) && !defined(__clang__)
#define EW_KERNEL static __attribute__((noinline, noclone))
#elif defined(__clang__)
#define EW_KERNEL static __attribute__((noinline))
#else
#define EW_KERNEL static
#endif

/* A part of a kernel that is worth a copy for each constant it is given. */
#if defined(__GNUC__)
#define EW_INLINE static inline __attribute__((always_inline))
#else
#define EW_INLINE static inline
#endif

/* Within a loop over a few bytes: leave it a loop, where the compiler would make it a call of memcpy or memset. */
#if defined(__GNUC__)
#define EW_KEEP_LOOP() __asm__ volatile("" ::: "memory")
#else
#define EW_KEEP_LOOP() ((void)0)
#endif

/* Copy of four bytes from any address to any; never a call where the compiler knows better. */
#if defined(__GNUC__)
#define EW_COPY_4(to, from) __builtin_memcpy((to), (from), 4)
#else
#define EW_COPY_4(to, from) memcpy((to), (from), 4)
#endif

/* Assembly that takes every register: for GCC, optimizing, without a frame pointer. -DEW_NO_ASSEMBLY does without it, at a price. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && !defined(EW_NO_ASSEMBLY)
#define EW_ASSEMBLY
#endif

#endif
