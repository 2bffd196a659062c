/* Monotonic time. */
#ifndef TN_BASE_CLOCK_H
#define TN_BASE_CLOCK_H

#include <time.h>

/* Milliseconds since an arbitrary start. */
static inline double tn_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

#endif
