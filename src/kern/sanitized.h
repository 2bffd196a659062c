/* Loops over numbers under AddressSanitizer: their memory is checked once, as a whole, and not at every number, which would take most
 * of the time of all tests. Without it, these do nothing. */
#ifndef TN_KERN_SANITIZED_H
#define TN_KERN_SANITIZED_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>

/* A loop that is only called after tn_check_memory. */
#define TN_UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

/* If a byte of [bytes] must not be accessed, reads it, which AddressSanitizer reports. */
static inline void tn_check_memory(const void *memory, size_t bytes)
{
    const volatile unsigned char *bad = __asan_region_is_poisoned((void *)(uintptr_t)memory, bytes);
    if (bad != NULL)
        (void)*bad;
}
#else
#define TN_UNCHECKED

static inline void tn_check_memory(const void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}
#endif

#endif
