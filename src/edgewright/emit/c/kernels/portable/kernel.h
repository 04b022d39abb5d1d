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

#endif
