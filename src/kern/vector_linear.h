/* y = x W^T with vectors along k: both operands lie that way in memory.
 *
 * One order for all shapes: lane l of an output's sum takes the products of k = l, l + LANES, ... in
 * rising order, each fused; missing k count as 0; vec_sum4 adds the lanes. So a row of y has the same
 * bits whether it is computed alone (decoding) or among others (prefill), and in any chunk.
 *
 * Few rows: weights are widened in registers, once per TILE_ROWS rows of x; only the first time they
 * come from memory. Many rows: blocks of x and of widened weights are laid side by side so that they
 * stay in the cache, and the unfinished sums of a block wait in memory.
 * Included by vector.h only. */
#ifndef TN_KERN_VECTOR_LINEAR_H
#define TN_KERN_VECTOR_LINEAR_H

enum {
    TILE_OUTPUTS = 4,            /* as many as vec_sum4 finishes                               */
    DIRECT_ROWS = 12,            /* up to here weights are read as they are stored             */
    BLOCK_ROWS = 72,             /* rows of x in a block, a multiple of TILE_ROWS              */
    BLOCK_K = 768,               /* inputs in a block: 10 rows of a tile, of them 4 in use again */
    BLOCK_STRIDE = BLOCK_K + 16, /* from row to row: not a power of two, so rows do not all
                                  * fall on the same few sets of the cache                     */
    TILE_REALS = TILE_ROWS * TILE_OUTPUTS * LANES,
    TILES = BLOCK_ROWS / TILE_ROWS * (CHUNK / TILE_OUTPUTS),
    AHEAD = 1024                 /* bytes between the weights in use and those prefetched      */
};

/* Adds `count` inputs (a multiple of LANES) to the sums of a tile of `rows` rows. Meanwhile asks for
 * the weights `ahead` bytes further on (0: none), or for the bytes at `soon` (NULL: none). */
TN_INLINE void tile_add(vec sums[][TILE_OUTPUTS], size_t rows, tn_dtype type, const float *x, size_t ldx,
                        const unsigned char *const w[TILE_OUTPUTS], size_t count, size_t ahead,
                        const unsigned char *soon)
{
    for (size_t k = 0; k < count; k += LANES) {
        vec values[TILE_ROWS];
        if (soon != NULL)
            __builtin_prefetch(soon + k * sizeof(float), 0, 2);
        for (size_t i = 0; i < rows; i++)
            values[i] = vec_load(x + i * ldx + k);
        for (size_t n = 0; n < TILE_OUTPUTS; n++) {
            vec weights = vec_load_weights(type, w[n], k);
            if (ahead > 0)
                __builtin_prefetch((const void *)((uintptr_t)w[n] + packed_bytes(type, k) + ahead));
            for (size_t i = 0; i < rows; i++)
                sums[i][n] = vec_fma(values[i], weights, sums[i][n]);
        }
    }
}

TN_INLINE void tile_zero(vec sums[][TILE_OUTPUTS], size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t n = 0; n < TILE_OUTPUTS; n++)
            sums[i][n] = vec_set(0);
}

/* Adds the lanes and writes the first `outputs` of each row. */
TN_INLINE void tile_finish(vec sums[][TILE_OUTPUTS], size_t rows, size_t outputs, float *y, size_t ldy)
{
    for (size_t i = 0; i < rows; i++) {
        float out[TILE_OUTPUTS];
        vec_sum4(sums[i], out);
        memcpy(y + i * ldy, out, outputs * sizeof *out);
    }
}

/* ------------------------------------------------------------- few rows -- */

/* The last k % LANES inputs, filled up with zeros. Nothing is read past the end of a row. */
TN_INLINE void tile_add_rest(vec sums[][TILE_OUTPUTS], size_t rows, tn_dtype type, const float *x, size_t ldx,
                             const unsigned char *const w[TILE_OUTPUTS], size_t begin, size_t count)
{
    float values[TILE_ROWS * LANES] = { 0 };
    unsigned char packed[TILE_OUTPUTS][LANES * sizeof(float)] = { { 0 } };
    const unsigned char *const weights[TILE_OUTPUTS] = { packed[0], packed[1], packed[2], packed[3] };
    for (size_t i = 0; i < rows; i++)
        memcpy(values + i * LANES, x + i * ldx + begin, count * sizeof *values);
    for (size_t n = 0; n < TILE_OUTPUTS; n++)
        memcpy(packed[n], w[n] + packed_bytes(type, begin), packed_bytes(type, count));
    tile_add(sums, rows, type, values, LANES, weights, LANES, 0, NULL);
}

TN_INLINE void direct_tile(size_t rows, tn_dtype type, const float *x, size_t ldx,
                           const unsigned char *const w[TILE_OUTPUTS], size_t k, size_t outputs, float *y,
                           size_t ldy)
{
    vec sums[TILE_ROWS][TILE_OUTPUTS];
    size_t whole = k / LANES * LANES;
    tile_zero(sums, rows);
    tile_add(sums, rows, type, x, ldx, w, whole, AHEAD, NULL);
    if (whole < k)
        tile_add_rest(sums, rows, type, x, ldx, w, whole, k - whole);
    tile_finish(sums, rows, outputs, y, ldy);
}

TN_INLINE void direct(tn_dtype type, const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                      size_t m, float *y, size_t ldy)
{
    size_t row_bytes = packed_bytes(type, w->cols);
    for (size_t n = begin; n < end; n += TILE_OUTPUTS) {
        const unsigned char *rows[TILE_OUTPUTS];
        size_t outputs = tn_min(TILE_OUTPUTS, end - n);
        for (size_t j = 0; j < TILE_OUTPUTS; j++) /* past the end: the last row again, not written */
            rows[j] = (const unsigned char *)w->data + (n + tn_min(j, outputs - 1)) * row_bytes;
        for (size_t i = 0; i < m; i += TILE_ROWS) {
#define CASE(R)                                                                                      \
    case R: direct_tile(R, type, x + i * ldx, ldx, rows, w->cols, outputs, y + i * ldy + n, ldy); break;
            switch (tn_min(TILE_ROWS, m - i)) { TN_TILE_CASES(CASE) }
#undef CASE
        }
    }
}

/* ------------------------------------------------------------ many rows -- */

/* One step along k of a block [rows, outputs]. */
typedef struct tn_block {
    float *x;     /* [BLOCK_ROWS, BLOCK_STRIDE]                                  */
    float *w;     /* [CHUNK, BLOCK_STRIDE], zero rows up to a multiple of a tile  */
    float *sums;  /* [TILES, TILE_REALS]                                          */
    float *y;     /* first output, row stride ldy                                 */
    size_t ldy, rows, outputs;
    size_t count; /* inputs, filled up with zeros to a multiple of LANES           */
    bool first, last;
    const unsigned char *soon_x, *soon_w; /* of the next step: where its rows begin       */
    size_t stride_x, stride_w, soon_rows; /* bytes from row to row; rows of x              */
} tn_block;

/* Every tile of a block asks for one row of what comes next: first those of w, then those of x. */
static const unsigned char *block_soon(const tn_block *b, size_t tile)
{
    if (tile < b->outputs)
        return b->soon_w + tile * b->stride_w;
    tile -= b->outputs;
    return b->soon_x + (tile < b->soon_rows ? tile : 0) * b->stride_x;
}

TN_INLINE void block_tile(size_t rows, const tn_block *b, size_t row, size_t output, float *parked,
                          const unsigned char *soon)
{
    vec sums[TILE_ROWS][TILE_OUTPUTS];
    const float *w = b->w + output * BLOCK_STRIDE;
    const unsigned char *const weights[TILE_OUTPUTS] = {
        (const unsigned char *)w, (const unsigned char *)(w + BLOCK_STRIDE),
        (const unsigned char *)(w + 2 * BLOCK_STRIDE), (const unsigned char *)(w + 3 * BLOCK_STRIDE)
    };
    if (b->first)
        tile_zero(sums, rows);
    else
        for (size_t i = 0; i < rows * TILE_OUTPUTS; i++)
            sums[i / TILE_OUTPUTS][i % TILE_OUTPUTS] = vec_load(parked + i * LANES);
    tile_add(sums, rows, TN_F32, b->x + row * BLOCK_STRIDE, BLOCK_STRIDE, weights, b->count, 0, soon);
    if (b->last)
        tile_finish(sums, rows, tn_min(TILE_OUTPUTS, b->outputs - output), b->y + row * b->ldy + output, b->ldy);
    else
        for (size_t i = 0; i < rows * TILE_OUTPUTS; i++)
            vec_store(parked + i * LANES, sums[i / TILE_OUTPUTS][i % TILE_OUTPUTS]);
}

static void block_add(const tn_block *b)
{
    float *parked = b->sums;
    size_t tile = 0;
    for (size_t n = 0; n < b->outputs; n += TILE_OUTPUTS)
        for (size_t i = 0; i < b->rows; i += TILE_ROWS) {
            const unsigned char *soon = block_soon(b, tile++);
#define CASE(R) case R: block_tile(R, b, i, n, parked, soon); break;
            switch (tn_min(TILE_ROWS, b->rows - i)) { TN_TILE_CASES(CASE) }
#undef CASE
            parked += TILE_REALS;
        }
}

static size_t linear_reals(const tn_matrix *w, size_t m)
{
    (void)w;
    (void)m;
    return (BLOCK_ROWS + CHUNK) * BLOCK_STRIDE + TILES * TILE_REALS;
}

/* Inputs k .. k+count-1 of the block's rows of x (from x on) and of outputs n .. */
static void block_fill(const tn_block *b, const tn_matrix *w, size_t n, const float *x, size_t ldx, size_t k,
                       size_t count)
{
    size_t missing = (b->count - count) * sizeof(float);
    for (size_t i = 0; i < b->rows; i++) {
        unpack_as(TN_F32, (const unsigned char *)(x + i * ldx + k), count, b->x + i * BLOCK_STRIDE);
        memset(b->x + i * BLOCK_STRIDE + count, 0, missing);
    }
    for (size_t j = 0; j < b->outputs; j++) {
        unpack_row(w, n + j, k, count, b->w + j * BLOCK_STRIDE);
        memset(b->w + j * BLOCK_STRIDE + count, 0, missing);
    }
    for (size_t j = b->outputs; j % TILE_OUTPUTS != 0; j++)
        memset(b->w + j * BLOCK_STRIDE, 0, b->count * sizeof(float));
}

static void blocked(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx, size_t m,
                    float *y, size_t ldy, float *scratch)
{
    tn_block b = { .x = aligned(scratch), .ldy = ldy, .stride_x = ldx * sizeof *x };
    b.stride_w = tn_dtype_row_bytes(w->type, w->cols);
    b.w = b.x + BLOCK_ROWS * BLOCK_STRIDE;
    b.sums = b.w + CHUNK * BLOCK_STRIDE;
    for (size_t n = begin; n < end; n += CHUNK)
        for (size_t i = 0; i < m; i += BLOCK_ROWS) {
            b.outputs = tn_min(CHUNK, end - n);
            b.rows = tn_min(BLOCK_ROWS, m - i);
            b.y = y + i * ldy + n;
            for (size_t k = 0; k < w->cols; k += BLOCK_K) {
                size_t count = tn_min(BLOCK_K, w->cols - k);
                b.count = tn_pieces(count, LANES) * LANES;
                b.first = k == 0;
                b.last = count == w->cols - k;
                size_t k1 = b.last ? 0 : k + BLOCK_K, i1 = b.last && i + BLOCK_ROWS < m ? i + BLOCK_ROWS : i;
                b.soon_x = (const unsigned char *)(x + i1 * ldx + k1);
                b.soon_w = (const unsigned char *)w->data + n * b.stride_w + tn_dtype_row_bytes(w->type, k1);
                b.soon_rows = tn_min(BLOCK_ROWS, m - i1);
                block_fill(&b, w, n, x + i * ldx, ldx, k, count);
                block_add(&b);
            }
        }
}

void TN_KERNEL(linear)(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx, size_t m,
                       float *y, size_t ldy, float *scratch)
{
    if (m <= DIRECT_ROWS && w->type == TN_BF16)
        direct(TN_BF16, w, begin, end, x, ldx, m, y, ldy);
    else if (m <= DIRECT_ROWS && w->type == TN_F16)
        direct(TN_F16, w, begin, end, x, ldx, m, y, ldy);
    else if (m <= DIRECT_ROWS && w->type == TN_F32)
        direct(TN_F32, w, begin, end, x, ldx, m, y, ldy);
    else
        blocked(w, begin, end, x, ldx, m, y, ldy, scratch);
}

#endif
