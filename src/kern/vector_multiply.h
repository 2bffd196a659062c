/* c += a b with vectors along the columns of b and c, and its two uses in training: dx += dy W and dw += dy^T x. Every
 * output is one chain of fused additions over ascending l that starts at its old value, so dividing m, n or l into
 * blocks changes no bit. Included by vector.h only. */
#ifndef TN_KERN_VECTOR_MULTIPLY_H
#define TN_KERN_VECTOR_MULTIPLY_H

enum {
    PANEL_ROWS = 6,                      /* rows of c in a register tile                     */
    PANEL_COLUMNS = CHUNK,               /* columns of b that are copied together            */
    PANEL_DEPTH = 256,                   /* rows of b that are copied together: 64 KB        */
    PANEL_REALS = PANEL_COLUMNS * PANEL_DEPTH
};

/* A product as tn_kernels.multiply describes it. */
typedef struct tn_product {
    const float *a;
    size_t row_a, column_a;
    const float *b;
    size_t ldb, depth;
    float *c;
    size_t ldc;
} tn_product;

/* rows x (vectors * LANES) outputs from row i, column j on. */
TN_INLINE void panel_tile(size_t rows, size_t vectors, const tn_product *p, size_t i, size_t j)
{
    vec sums[PANEL_ROWS][PANEL_VECTORS];
    const float *a = p->a + i * p->row_a, *b = p->b + j;
    float *c = p->c + i * p->ldc + j;
    TN_UNROLL
    for (size_t r = 0; r < rows; r++)
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            sums[r][v] = vec_load(c + r * p->ldc + v * LANES);
    for (size_t l = 0; l < p->depth; l++) {
        vec values[PANEL_VECTORS];
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            values[v] = vec_load(b + l * p->ldb + v * LANES);
        TN_UNROLL
        for (size_t r = 0; r < rows; r++) {
            vec factor = vec_set(a[r * p->row_a + l * p->column_a]);
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++)
                sums[r][v] = vec_fma(factor, values[v], sums[r][v]);
        }
    }
    TN_UNROLL
    for (size_t r = 0; r < rows; r++)
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            vec_store(c + r * p->ldc + v * LANES, sums[r][v]);
}

/* `count` < LANES columns of one row. */
static void panel_rest(const tn_product *p, size_t i, size_t j, size_t count)
{
    float *c = p->c + i * p->ldc + j;
    vec sum = vec_load_part(c, count);
    for (size_t l = 0; l < p->depth; l++) {
        vec factor = vec_set(p->a[i * p->row_a + l * p->column_a]);
        sum = vec_fma(factor, vec_load_part(p->b + l * p->ldb + j, count), sum);
    }
    vec_store_part(c, sum, count);
}

/* Rows i .. i+rows-1 of all n columns. */
TN_INLINE void panel_rows(size_t rows, const tn_product *p, size_t i, size_t n)
{
    size_t j = 0;
    for (; j + PANEL_VECTORS * LANES <= n; j += PANEL_VECTORS * LANES)
        panel_tile(rows, PANEL_VECTORS, p, i, j);
    for (; j + LANES <= n; j += LANES)
        panel_tile(rows, 1, p, i, j);
    for (size_t r = 0; j < n && r < rows; r++)
        panel_rest(p, i + r, j, n - j);
}

static void product(const tn_product *p, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i += PANEL_ROWS)
        switch (tn_min(PANEL_ROWS, m - i)) {
        case 1: panel_rows(1, p, i, n); break;
        case 2: panel_rows(2, p, i, n); break;
        case 3: panel_rows(3, p, i, n); break;
        case 4: panel_rows(4, p, i, n); break;
        case 5: panel_rows(5, p, i, n); break;
        case 6: panel_rows(6, p, i, n); break;
        }
}

void TN_KERNEL(multiply)(const float *a, size_t row_a, size_t column_a, const float *b, size_t ldb, size_t m,
                         size_t n, size_t k, float *c, size_t ldc)
{
    const tn_product p = { a, row_a, column_a, b, ldb, k, c, ldc };
    product(&p, m, n);
}

void TN_KERNEL(linear_dx)(const tn_matrix *w, size_t begin, size_t end, const float *dy, size_t lddy, size_t m,
                          float *dx, size_t lddx, float *scratch)
{
    float *panel = aligned(scratch);
    for (size_t k = begin; k < end; k += PANEL_COLUMNS)
        for (size_t n = 0; n < w->rows; n += PANEL_DEPTH) {
            size_t columns = tn_min(PANEL_COLUMNS, end - k), depth = tn_min(PANEL_DEPTH, w->rows - n);
            for (size_t l = 0; l < depth; l++)
                unpack_row(w, n + l, k, columns, panel + l * PANEL_COLUMNS);
            const tn_product p = { dy + n, lddy, 1, panel, PANEL_COLUMNS, depth, dx + k, lddx };
            product(&p, m, columns);
        }
}

void TN_KERNEL(linear_dw)(float *dw, size_t k, size_t begin, size_t end, const float *dy, size_t lddy,
                          const float *x, size_t ldx, size_t m, float *scratch)
{
    float *panel = aligned(scratch);
    for (size_t i = 0; i < m; i += PANEL_DEPTH)
        for (size_t j = 0; j < k; j += PANEL_COLUMNS) {
            size_t columns = tn_min(PANEL_COLUMNS, k - j), depth = tn_min(PANEL_DEPTH, m - i);
            for (size_t l = 0; l < depth; l++)
                memcpy(panel + l * PANEL_COLUMNS, x + (i + l) * ldx + j, columns * sizeof *x);
            const tn_product p = { dy + i * lddy + begin, 1, lddy, panel, PANEL_COLUMNS, depth,
                                   dw + begin * k + j, k };
            product(&p, end - begin, columns);
        }
}

#endif
