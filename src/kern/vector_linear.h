/* y = x W^T with vectors along k, the direction in which both operands are contiguous in memory.
 *
 * All shapes use one order: lane l of an output's sum adds the products of k = l, l + LANES, ... in ascending order,
 * each fused; missing k count as 0; vec_sum4 adds the lanes. A row of y therefore has the same bits whether it is
 * computed alone (decoding) or with others (prefill), and in any chunk.
 *
 * Few rows: weights are widened in registers, once per TILE_ROWS rows of x; only the first time do they come from
 * memory, and they are prefetched. Many rows: blocks that stay in the cache. 16-bit weights are widened once per block,
 * the unfinished sums of a block are kept in memory, and the next block is prefetched while one is computed. The sizes
 * below measured best on Zen 4 (bench_kernels). Included by vector.h only. */
#ifndef TN_KERN_VECTOR_LINEAR_H
#define TN_KERN_VECTOR_LINEAR_H

enum {
    TILE_OUTPUTS = 4,            /* the number that vec_sum4 finishes                          */
    DIRECT_ROWS = 12,            /* "few" of F32 weights; WIDEN_ROWS of a set: of 16-bit weights */
    DIRECT_REALS = 131072,       /* of x that are processed at a time: half of a second-level cache */
    BLOCK_ROWS = 96,             /* rows of x in a block, a multiple of TILE_ROWS              */
    BLOCK_K = 768,               /* inputs in a block: 10 rows of a tile are 30 KB             */
    BLOCK_STRIDE = BLOCK_K + 16, /* row stride: not a power of two, so rows do not all fall on the same few sets of the
                                  * cache */
    SET_PERIOD = 1024,           /* reals after which the sets of the first-level cache repeat */
    TILE_REALS = TILE_ROWS * TILE_OUTPUTS * LANES,
    TILES = BLOCK_ROWS / TILE_ROWS * (CHUNK / TILE_OUTPUTS),
    AHEAD = 65536                /* bytes prefetched, and at least the next rows in use: far enough for shared memory,
                                  * and within the second-level cache */
};

/* Adds `count` inputs (a multiple of LANES) to the sums of a tile of `rows` rows. Meanwhile prefetches the weights
 * `ahead` bytes further on (0: none), or the bytes at `soon` (0: none). */
TN_INLINE void tile_add(vec sums[][TILE_OUTPUTS], size_t rows, tn_dtype type, const float *x, size_t ldx,
                        const unsigned char *const w[TILE_OUTPUTS], size_t count, size_t ahead,
                        uintptr_t soon)
{
    for (size_t k = 0; k < count; k += LANES) {
        vec values[TILE_ROWS];
        if (soon != 0)
            __builtin_prefetch((const void *)(soon + k * sizeof(float)), 0, 2);
        TN_UNROLL
        for (size_t i = 0; i < rows; i++)
            values[i] = vec_load(x + i * ldx + k);
        TN_UNROLL
        for (size_t n = 0; n < TILE_OUTPUTS; n++) {
            vec weights = vec_load_weights(type, w[n], k);
            if (ahead > 0)
                __builtin_prefetch((const void *)((uintptr_t)w[n] + packed_bytes(type, k) + ahead), 0, 2);
            TN_UNROLL
            for (size_t i = 0; i < rows; i++)
                sums[i][n] = vec_fma(values[i], weights, sums[i][n]);
        }
    }
}

TN_INLINE void tile_zero(vec sums[][TILE_OUTPUTS], size_t rows)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        TN_UNROLL
        for (size_t n = 0; n < TILE_OUTPUTS; n++)
            sums[i][n] = vec_set(0);
}

/* Unfinished sums, in memory. */
TN_INLINE void tile_load(vec sums[][TILE_OUTPUTS], size_t rows, const float *parked)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        TN_UNROLL
        for (size_t n = 0; n < TILE_OUTPUTS; n++)
            sums[i][n] = vec_load(parked + (i * TILE_OUTPUTS + n) * LANES);
}

TN_INLINE void tile_store(vec sums[][TILE_OUTPUTS], size_t rows, float *parked)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        TN_UNROLL
        for (size_t n = 0; n < TILE_OUTPUTS; n++)
            vec_store(parked + (i * TILE_OUTPUTS + n) * LANES, sums[i][n]);
}

/* Adds the lanes and writes the first `outputs` of each row. */
TN_INLINE void tile_finish(vec sums[][TILE_OUTPUTS], size_t rows, size_t outputs, float *y, size_t ldy)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++) {
        float out[TILE_OUTPUTS];
        vec_sum4(sums[i], out);
        memcpy(y + i * ldy, out, outputs * sizeof *out);
    }
}

/* ------------------------------------------------------------- few rows -- */

/* The last k % LANES inputs, padded with zeros. Nothing is read past the end of a row. */
TN_INLINE void tile_add_rest(vec sums[][TILE_OUTPUTS], size_t rows, tn_dtype type, const float *x, size_t ldx,
                             const unsigned char *const w[TILE_OUTPUTS], size_t begin, size_t count)
{
    float values[TILE_ROWS * LANES] = { 0 };
    unsigned char packed[TILE_OUTPUTS][LANES * sizeof(float)] = { { 0 } };
    const unsigned char *const weights[TILE_OUTPUTS] = { packed[0], packed[1], packed[2], packed[3] };
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        memcpy(values + i * LANES, x + i * ldx + begin, count * sizeof *values);
    TN_UNROLL
    for (size_t n = 0; n < TILE_OUTPUTS; n++)
        memcpy(packed[n], w[n] + packed_bytes(type, begin), packed_bytes(type, count));
    tile_add(sums, rows, type, values, LANES, weights, LANES, 0, 0);
}

TN_INLINE void direct_tile(size_t rows, tn_dtype type, const float *x, size_t ldx,
                           const unsigned char *const w[TILE_OUTPUTS], size_t k, size_t ahead,
                           size_t outputs, float *y, size_t ldy)
{
    vec sums[TILE_ROWS][TILE_OUTPUTS];
    size_t whole = k / LANES * LANES;
    tile_zero(sums, rows);
    tile_add(sums, rows, type, x, ldx, w, whole, ahead, 0);
    if (whole < k)
        tile_add_rest(sums, rows, type, x, ldx, w, whole, k - whole);
    tile_finish(sums, rows, outputs, y, ldy);
}

TN_INLINE void direct(tn_dtype type, const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                      size_t m, float *y, size_t ldy)
{
    size_t row_bytes = packed_bytes(type, w->cols), group = TILE_OUTPUTS * row_bytes;
    size_t ahead = group * tn_max(1, AHEAD / tn_max(1, group));
    for (size_t n = begin; n < end; n += TILE_OUTPUTS) {
        const unsigned char *rows[TILE_OUTPUTS];
        size_t outputs = tn_min(TILE_OUTPUTS, end - n);
        TN_UNROLL
        for (size_t j = 0; j < TILE_OUTPUTS; j++) /* past the end: the last row again, not written */
            rows[j] = (const unsigned char *)w->data + (n + tn_min(j, outputs - 1)) * row_bytes;
        for (size_t i = 0; i < m; i += TILE_ROWS) {
            const float *from = x + i * ldx;
            float *to = y + i * ldy + n;
#define CASE(R) case R: direct_tile(R, type, from, ldx, rows, w->cols, i ? 0 : ahead, outputs, to, ldy); break;
            switch (tn_min(TILE_ROWS, m - i)) { TN_TILE_CASES(CASE) }
#undef CASE
        }
    }
}

/* ------------------------------------------------------------ many rows -- */

/* One step along k of a block [rows, outputs]. */
typedef struct tn_block {
    const float *x;         /* [rows], ldx apart                                       */
    const unsigned char *w; /* [outputs] rows of floats, stride_w bytes apart          */
    float *y;               /* first output, rows ldy apart                            */
    float *sums;            /* [TILES, TILE_REALS]                                     */
    size_t ldx, stride_w, ldy, rows, outputs;
    size_t count;           /* inputs, padded with zeros to a multiple of LANES        */
    bool first, last;
    float *copy_x, *copy_w; /* [BLOCK_ROWS, BLOCK_STRIDE], [CHUNK, BLOCK_STRIDE]       */
    uintptr_t soon_x, soon_w; /* of the next step: start of the rows of x and of packed w */
    size_t soon_stride_x, soon_stride_w; /* bytes                                      */
} tn_block;

/* Every tile of a block prefetches one row of the next block: first those of w, then those of x. */
static uintptr_t block_soon(const tn_block *b, size_t tile)
{
    if (tile < b->outputs)
        return b->soon_w + tile * b->soon_stride_w;
    return b->soon_x + tn_min(tile - b->outputs, b->rows - 1) * b->soon_stride_x;
}

TN_INLINE void block_tile(size_t rows, const tn_block *b, size_t row, size_t output, float *parked,
                          uintptr_t soon)
{
    vec sums[TILE_ROWS][TILE_OUTPUTS];
    const unsigned char *weights[TILE_OUTPUTS];
    size_t outputs = tn_min(TILE_OUTPUTS, b->outputs - output);
    TN_UNROLL
    for (size_t n = 0; n < TILE_OUTPUTS; n++) /* past the end: the last row again, not written */
        weights[n] = b->w + (output + tn_min(n, outputs - 1)) * b->stride_w;
    if (b->first)
        tile_zero(sums, rows);
    else
        tile_load(sums, rows, parked);
    tile_add(sums, rows, TN_F32, b->x + row * b->ldx, b->ldx, weights, b->count, 0, soon);
    if (b->last)
        tile_finish(sums, rows, outputs, b->y + row * b->ldy + output, b->ldy);
    else
        tile_store(sums, rows, parked);
}

static void block_add(const tn_block *b)
{
    float *parked = b->sums;
    size_t tile = 0;
    for (size_t n = 0; n < b->outputs; n += TILE_OUTPUTS)
        for (size_t i = 0; i < b->rows; i += TILE_ROWS) {
            uintptr_t soon = block_soon(b, tile++);
#define CASE(R) case R: block_tile(R, b, i, n, parked, soon); break;
            switch (tn_min(TILE_ROWS, b->rows - i)) { TN_TILE_CASES(CASE) }
#undef CASE
            parked += TILE_REALS;
        }
}

/* True if rows of floats are fast to read in place: no vector crosses a cache line, and the rows do not all fall on the
 * same few sets of the cache. */
static bool lie_well(uintptr_t begin, size_t stride)
{
    return begin % (LANES * sizeof(float)) == 0 && stride % LANES == 0 && stride % SET_PERIOD != 0;
}

/* Points the block at `count` inputs of its rows of x, from x on, or at a padded copy with a better layout. */
static void block_take_x(tn_block *b, const float *x, size_t ldx, size_t count)
{
    b->x = x;
    b->ldx = ldx;
    if (count == b->count && lie_well((uintptr_t)x, ldx))
        return;
    b->x = b->copy_x;
    b->ldx = BLOCK_STRIDE;
    for (size_t i = 0; i < b->rows; i++) {
        float *copy = b->copy_x + i * BLOCK_STRIDE;
        unpack_as(TN_F32, (const unsigned char *)(x + i * ldx), count, copy);
        memset(copy + count, 0, (b->count - count) * sizeof *copy);
    }
}

/* The same for `count` weights of its outputs from row n, column k on; other types are widened. */
static void block_take_w(tn_block *b, const tn_matrix *w, size_t n, size_t k, size_t count)
{
    b->stride_w = packed_bytes(TN_F32, w->cols);
    b->w = (const unsigned char *)w->data + n * tn_dtype_row_bytes(w->type, w->cols) + tn_dtype_row_bytes(w->type, k);
    if (w->type == TN_F32 && count == b->count && lie_well((uintptr_t)b->w, w->cols))
        return;
    b->w = (const unsigned char *)b->copy_w;
    b->stride_w = BLOCK_STRIDE * sizeof(float);
    for (size_t j = 0; j < b->outputs; j++) {
        float *copy = b->copy_w + j * BLOCK_STRIDE;
        unpack_row(w, n + j, k, count, copy);
        memset(copy + count, 0, (b->count - count) * sizeof *copy);
    }
}

/* All inputs of outputs n .. n+outputs-1 of rows i .. i+rows-1. */
static void block_run(tn_block *b, const tn_matrix *w, size_t n, const float *x, size_t ldx, size_t i,
                      size_t m)
{
    size_t row_bytes = tn_dtype_row_bytes(w->type, w->cols);
    for (size_t k = 0; k < w->cols; k += BLOCK_K) {
        size_t count = tn_min(BLOCK_K, w->cols - k);
        b->count = tn_pieces(count, LANES) * LANES;
        b->first = k == 0;
        b->last = count == w->cols - k;
        block_take_x(b, x + i * ldx + k, ldx, count);
        block_take_w(b, w, n, k, count);
        size_t next_k = b->last ? 0 : k + BLOCK_K, next_i = b->last && i + b->rows < m ? i + b->rows : i;
        b->soon_x = (uintptr_t)(x + next_i * ldx + next_k);
        b->soon_w = (uintptr_t)w->data + n * row_bytes + tn_dtype_row_bytes(w->type, next_k);
        b->soon_stride_x = ldx * sizeof *x;
        b->soon_stride_w = row_bytes;
        block_add(b);
    }
}

static size_t linear_reals(const tn_matrix *w, size_t m)
{
    (void)w;
    (void)m;
    return (BLOCK_ROWS + CHUNK) * BLOCK_STRIDE + TILES * TILE_REALS;
}

static void blocked(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx, size_t m,
                    float *y, size_t ldy, float *scratch)
{
    tn_block b = { .copy_x = aligned(scratch), .ldy = ldy };
    b.copy_w = b.copy_x + BLOCK_ROWS * BLOCK_STRIDE;
    b.sums = b.copy_w + CHUNK * BLOCK_STRIDE;
    for (size_t n = begin; n < end; n += CHUNK)
        for (size_t i = 0; i < m; i += BLOCK_ROWS) {
            b.outputs = tn_min(CHUNK, end - n);
            b.rows = tn_min(BLOCK_ROWS, m - i);
            b.y = y + i * ldy + n;
            block_run(&b, w, n, x, ldx, i, m);
        }
}

/* direct(), with x divided into pieces that stay in the cache for all weights of a chunk. */
TN_INLINE void direct_pieces(tn_dtype type, const tn_matrix *w, size_t begin, size_t end, const float *x,
                             size_t ldx, size_t m, float *y, size_t ldy)
{
    size_t rows = tn_pieces(tn_max(DIRECT_REALS / tn_max(1, w->cols), 24), TILE_ROWS) * TILE_ROWS;
    for (size_t i = 0; i < m; i += rows)
        direct(type, w, begin, end, x + i * ldx, ldx, tn_min(rows, m - i), y + i * ldy, ldy);
}

static void linear_rows(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx, size_t m,
                        float *y, size_t ldy, float *scratch)
{
    if (w->type == TN_BF16 && m <= WIDEN_ROWS)
        direct_pieces(TN_BF16, w, begin, end, x, ldx, m, y, ldy);
    else if (w->type == TN_F16 && m <= WIDEN_ROWS)
        direct_pieces(TN_F16, w, begin, end, x, ldx, m, y, ldy);
    else if (w->type == TN_F32 && m <= DIRECT_ROWS)
        direct_pieces(TN_F32, w, begin, end, x, ldx, m, y, ldy);
    else
        blocked(w, begin, end, x, ldx, m, y, ldy, scratch);
}

#endif
