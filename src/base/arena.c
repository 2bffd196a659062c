#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "base/arena.h"

#include "base/checked.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

tenebra_code tn_arena_open(tn_arena *arena, size_t capacity, tenebra_error *error)
{
    memset(arena, 0, sizeof *arena);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = tn_pieces(capacity, page), bytes;
    if (pages == 0 || !tn_size_mul(pages, page, &bytes))
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "a working area of %zu bytes is not possible",
                       capacity);
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "cannot reserve %zu bytes of working memory: %s",
                       bytes, strerror(errno));
    arena->base = base;
    arena->capacity = bytes;
    return TENEBRA_OK;
}

tenebra_code tn_arena_reserve(tn_arena *arena, size_t capacity, tenebra_error *error)
{
    static const size_t smallest = (size_t)256 << 20;
    tenebra_code code;
    do {
        code = tn_arena_open(arena, capacity, error);
        capacity /= 4;
    } while (code != TENEBRA_OK && capacity >= smallest);
    return code;
}

void *tn_arena_take(tn_arena *arena, size_t count, size_t size)
{
    size_t bytes, end;
    if (!tn_size_mul(count, size, &bytes) || !tn_size_add(bytes, TN_ARENA_ALIGNMENT - 1, &bytes))
        return NULL;
    bytes &= ~(size_t)(TN_ARENA_ALIGNMENT - 1);
    if (!tn_size_add(arena->used, bytes, &end) || end > arena->capacity)
        return NULL;
    void *taken = arena->base + arena->used;
    arena->used = end;
    arena->peak = tn_max(arena->peak, end);
    return taken;
}

void tn_arena_close(tn_arena *arena)
{
    if (arena->base != NULL)
        munmap(arena->base, arena->capacity);
    memset(arena, 0, sizeof *arena);
}
