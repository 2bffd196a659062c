#include "kern/probe.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 512 << 20, READ_CHUNKS = 128, READ_TURNS = 6 };

/* There are enough chunks for a thread that wakes late, or on a busy processor, to get a share. */
enum { SPIN_TURNS = 100000, SPIN_CHUNKS = 32, SPIN_REPEATS = 12 };

typedef struct reading {
    const unsigned char *bytes;
    uint64_t *sums; /* [READ_CHUNKS] */
} reading;

static void read_chunk(void *argument, size_t chunk, size_t worker)
{
    const reading *r = argument;
    const size_t bytes = (size_t)READ_BYTES / READ_CHUNKS;
    const unsigned char *from = r->bytes + chunk * bytes;
    uint64_t sums[16] = { 0 };
    (void)worker;
    for (size_t i = 0; i < bytes; i += sizeof sums) {
        __builtin_prefetch((const void *)((uintptr_t)from + i + 4096), 0, 2);
        __builtin_prefetch((const void *)((uintptr_t)from + i + 4096 + 64), 0, 2);
        for (size_t j = 0; j < 16; j++) {
            uint64_t word;
            memcpy(&word, from + i + 8 * j, sizeof word);
            sums[j] ^= word;
        }
    }
    for (size_t j = 0; j < 16; j++)
        r->sums[chunk] ^= sums[j];
}

double tn_probe_bytes(tn_pool *pool)
{
    unsigned char *memory = malloc(READ_BYTES);
    uint64_t sums[READ_CHUNKS] = { 0 };
    if (memory == NULL)
        return 0;
    memset(memory, 1, READ_BYTES);
    reading r = { memory, sums };
    double best = 0;
    for (size_t turn = 0; turn < READ_TURNS; turn++) {
        double start = tn_clock_ms();
        tn_pool_run(pool, READ_CHUNKS, read_chunk, &r);
        best = fmax(best, READ_BYTES / (tn_clock_ms() - start));
    }
    free(memory);
    return best;
}

typedef struct spinning {
    const tn_kernels *kernels;
    tn_dtype type;
    double operations; /* of one chunk */
} spinning;

static void spin_chunk(void *argument, size_t chunk, size_t worker)
{
    spinning *s = argument;
    tn_real sink;
    (void)worker;
    double operations = s->kernels->spin(s->type, SPIN_TURNS, &sink);
    if (chunk == 0)
        s->operations = operations;
}

double tn_probe_operations(tn_pool *pool, const tn_kernels *kernels, tn_dtype type)
{
    spinning s = { kernels, type, 0 };
    const size_t chunks = SPIN_CHUNKS * tn_pool_threads(pool);
    double best = 0;
    for (size_t turn = 0; turn < SPIN_REPEATS && kernels->spin != NULL; turn++) {
        double start = tn_clock_ms();
        tn_pool_run(pool, chunks, spin_chunk, &s);
        best = fmax(best, (double)chunks * s.operations / (tn_clock_ms() - start));
    }
    return best;
}
