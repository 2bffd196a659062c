/* Bump allocation from one reserved range of addresses.
 *
 * The range is reserved when the arena is opened and costs memory only where it is touched. Allocating is an addition,
 * and releasing returns to a mark. Pages stay with the arena after a release, so a steady loop makes no system calls. */
#ifndef TN_BASE_ARENA_H
#define TN_BASE_ARENA_H

#include "base/status.h"

typedef struct tn_arena {
    unsigned char *base;
    size_t capacity; /* bytes reserved                  */
    size_t used;     /* bytes allocated                 */
    size_t peak;     /* largest `used` since opening    */
} tn_arena;

#define TN_ARENA_ALIGNMENT 64u

/* Reserves `capacity` bytes (rounded up to whole pages). Errors: MEMORY. */
tenebra_code tn_arena_open(tn_arena *arena, size_t capacity, tenebra_error *error);

/* The same, or as much of it as a system gives that does not overcommit: a quarter, a quarter of that, ... Errors: MEMORY. */
tenebra_code tn_arena_reserve(tn_arena *arena, size_t capacity, tenebra_error *error);

/* `count` items of `size` bytes, 64-byte aligned, contents undefined; NULL if the product overflows or the range is
 * full. Threads: one at a time. */
void *tn_arena_take(tn_arena *arena, size_t count, size_t size);

/* Mark returns the current position; release frees everything that was taken after that position. */
static inline size_t tn_arena_mark(const tn_arena *arena) { return arena->used; }
static inline void tn_arena_release(tn_arena *arena, size_t mark) { arena->used = mark; }

/* Releases the range. A zeroed arena may be closed. */
void tn_arena_close(tn_arena *arena);

#endif
