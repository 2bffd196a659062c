/* Gradients of products from BF16 pairs, with the tile of the forward, or with another one that reads the same copies (amx_back.h):
 *   dx[i, k] += sum over n of dy[i, n] w[n, k]     the tile's x is dy, its panels are those of w transposed
 *   dw[n, k] += sum over i of dy[i, n] x[i, k]     the tile's x is dy transposed, its panels are those of x transposed
 * The copies are dy [m, N], dy transposed [N, M], and the panels of x, K outputs of M inputs; N and M are padded with
 * zeros to whole units. Only the copies that are needed exist. After the rows of dy and of dy transposed there is room for those that
 * a tile may read in excess. */
#include "kern/avx512bf16.h"

#include "base/checked.h"

#include <string.h>

typedef struct tn_copies {
    unsigned char *dy, *turned, *panels;
    size_t row_bytes, turned_bytes; /* row strides of dy and of dy transposed */
} tn_copies;

static tn_copies copies_of(const tn_backward *b, size_t *bytes)
{
    size_t n = b->w->rows, units = tn_pieces(b->m, TN_UNIT);
    tn_copies c = { .row_bytes = tn_pieces(n, TN_UNIT) * TN_UNIT * 2, .turned_bytes = units * TN_UNIT * 2 };
    size_t dy = b->dx ? (b->m + TN_BF16_SURPLUS) * c.row_bytes : 0;
    size_t turned = b->dw ? (tn_pieces(n, TN_PANEL) * TN_PANEL + TN_BF16_SURPLUS) * c.turned_bytes : 0;
    size_t panels = b->dw ? tn_pieces(b->w->cols, TN_PANEL) * units * TN_BF16_UNIT : 0;
    *bytes = dy + turned + panels;
    c.dy = b->input;
    if (c.dy != NULL) {
        c.turned = c.dy + dy;
        c.panels = c.turned + turned;
    }
    return c;
}

size_t tn_avx512bf16_back_bytes(const tn_backward *b)
{
    size_t bytes;
    tn_backward shape = *b;
    shape.input = NULL;
    copies_of(&shape, &bytes);
    return bytes;
}

/* `count` values from column `begin` on, or zeros. */
static inline vec load_some(const float *row, size_t begin, size_t cols)
{
    return begin + LANES <= cols ? vec_load(row + begin)
           : begin < cols        ? vec_load_part(row + begin, cols - begin)
                                 : vec_set(0);
}

static void copy_row(const float *row, size_t cols, unsigned char *to, size_t bytes)
{
    for (size_t k = 0; 2 * k < bytes; k += LANES) {
        __m256bh narrow = _mm512_cvtneps_pbh(load_some(row, k, cols));
        memcpy(to + 2 * k, &narrow, sizeof narrow);
    }
}

/* Pairs of the lower and the upper half of `both`: value j of each next to each other. */
static inline __m512i interleave(__m512i both)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                           23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both);
}

/* Columns column .. column+15 of 32 rows from `row` on, as 16 lines of pairs of rows; rows from `end` on are 0. */
static inline void lines_of(const float *x, size_t ldx, size_t cols, size_t column, size_t row, size_t end,
                            __m512i lines[16])
{
    TN_UNROLL
    for (size_t p = 0; p < 16; p++) {
        size_t first = row + 2 * p, second = first + 1;
        vec a = first < end ? load_some(x + first * ldx, column, cols) : vec_set(0);
        vec b = second < end ? load_some(x + second * ldx, column, cols) : vec_set(0);
        lines[p] = interleave((__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

static void copy_panels(const tn_backward *b, const float *x, size_t ldx, size_t begin, size_t end, unsigned char *panels)
{
    size_t panel_bytes = tn_pieces(b->m, TN_UNIT) * TN_BF16_UNIT;
    for (size_t row = begin; row < tn_pieces(end, TN_UNIT) * TN_UNIT; row += 32)
        for (size_t k = 0; k < b->w->cols; k += TN_PANEL) {
            unsigned char *to = panels + k / TN_PANEL * panel_bytes + row / 2 * TN_LINE;
            __m512i lines[16];
            lines_of(x, ldx, b->w->cols, k, row, end, lines);
            TN_UNROLL
            for (size_t p = 0; p < 16; p++)
                _mm512_storeu_si512((void *)(to + p * TN_LINE), lines[p]);
        }
}

static void copy_turned(const tn_backward *b, const float *dy, size_t lddy, size_t begin, size_t end, const tn_copies *c)
{
    for (size_t row = begin; row < tn_pieces(end, TN_UNIT) * TN_UNIT; row += 32)
        for (size_t n = 0; n < b->w->rows; n += TN_PANEL) {
            __m512i lines[16];
            lines_of(dy, lddy, b->w->rows, n, row, end, lines);
            tn_transpose_pairs(lines);
            TN_UNROLL
            for (size_t j = 0; j < 16; j++)
                _mm512_storeu_si512((void *)(c->turned + (n + j) * c->turned_bytes + row * 2), lines[j]);
        }
}

void tn_avx512bf16_back_input(const tn_backward *b, const float *dy, size_t lddy, const float *x, size_t ldx, size_t begin,
                              size_t end)
{
    size_t bytes;
    const tn_copies c = copies_of(b, &bytes);
    for (size_t i = begin; i < end && b->dx; i++)
        copy_row(dy + i * lddy, b->w->rows, c.dy + i * c.row_bytes, c.row_bytes);
    if (!b->dw)
        return;
    copy_turned(b, dy, lddy, begin, end, &c);
    copy_panels(b, x, ldx, begin, end, c.panels);
}

/* ------------------------------------------------------------------ dx -- */

/* Below, `w` is the transposed view that the tiling sees: rows and cols of the actual weight are swapped. */
static tn_matrix turned_view(const tn_matrix *w)
{
    return (tn_matrix){ w->type, w->cols, w->rows, w->data, TN_ROWS };
}

/* A line from two rows of 16 weights each; rows from `count` on are 0. */
static inline __m512i pair_line(const unsigned char *first, size_t row_bytes, size_t count)
{
    __m256i a = count > 0 ? _mm256_loadu_si256((const __m256i *)(const void *)first) : _mm256_setzero_si256();
    __m256i b = count > 1 ? _mm256_loadu_si256((const __m256i *)(const void *)(first + row_bytes)) : _mm256_setzero_si256();
    return interleave(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

/* Weights of any type, by unpacking: inputs of output `panel * 16 + j` are the entries of a column of the actual
 * weight. */
static void relay_unpacked(const tn_matrix *w, tn_order order, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    const tn_matrix own = { w->type, w->cols, w->rows, w->data, order };
    const size_t block = tn_min(tn_dtype_of(w->type)->block, TN_BLOCK), column = panel * TN_PANEL / block * block;
    const size_t skip = panel * TN_PANEL - column, count = tn_min(tn_max(block, TN_PANEL), w->rows - column);
    for (size_t line = 0; line < units * TN_UNIT / 2; line++) {
        float values[2][2 * TN_BLOCK] = { { 0 } };
        for (size_t j = 0; j < 2; j++) {
            size_t n = unit * TN_UNIT + 2 * line + j;
            if (n < w->cols)
                tn_matrix_unpack(&own, n, column, count, values[j]);
        }
        __m512bh both = _mm512_cvtne2ps_pbh(vec_load(values[1] + skip), vec_load(values[0] + skip));
        _mm512_storeu_si512((void *)(to + line * TN_LINE), interleave((__m512i)both));
    }
}

void tn_avx512bf16_relay_turned_panels(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    relay_unpacked(w, TN_PANELS, panel, unit, units, to);
}

/* Two rows of BF16 weights, unchanged, are a line. */
void tn_avx512bf16_relay_turned_rows(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    size_t row_bytes = w->rows * 2, column = panel * TN_PANEL;
    if (w->type != TN_BF16 || column + TN_PANEL > w->rows) {
        relay_unpacked(w, TN_ROWS, panel, unit, units, to);
        return;
    }
    for (size_t line = 0; line < units * TN_UNIT / 2; line++) {
        size_t n = unit * TN_UNIT + 2 * line;
        const unsigned char *from = (const unsigned char *)w->data + tn_min(n, w->cols - 1) * row_bytes + column * 2;
        _mm512_storeu_si512((void *)(to + line * TN_LINE), pair_line(from, row_bytes, n < w->cols ? w->cols - n : 0));
    }
}

void tn_avx512bf16_back_dx(const tn_tiling *rows, const tn_tiling *panels, const tn_backward *b, size_t begin, size_t end, float *dx,
                           size_t lddx, float *scratch)
{
    const tn_matrix view = turned_view(b->w);
    size_t bytes;
    const tn_copies c = copies_of(b, &bytes);
    tn_tiling_run(b->w->order == TN_ROWS ? rows : panels, &view, begin, end, NULL, 0, c.dy, b->m, true, dx, lddx, scratch);
}

void tn_avx512bf16_back_dw(const tn_tiling *rows, const tn_backward *b, size_t begin, size_t end, float *dw, float *scratch)
{
    size_t bytes;
    const tn_copies c = copies_of(b, &bytes);
    const tn_matrix x = { TN_BF16, b->w->cols, b->m, c.panels, TN_PANELS };
    tn_tiling_run(rows, &x, 0, x.rows, NULL, 0, c.turned + begin * c.turned_bytes, end - begin, true, dw + begin * x.rows, x.rows, scratch);
}

/* ----------------------------------------------------------------- set -- */

static const tn_tiling turned_rows = TN_BF16_TURNED(tn_avx512bf16_tile, tn_avx512bf16_relay_turned_rows, TN_BF16_ROWS, TN_BF16_PANELS,
                                                    TN_BF16_SLAB);
static const tn_tiling turned_panels = TN_BF16_TURNED(tn_avx512bf16_tile, tn_avx512bf16_relay_turned_panels, TN_BF16_ROWS,
                                                      TN_BF16_PANELS, TN_BF16_SLAB);

static void narrow_dx(const tn_backward *b, size_t begin, size_t end, float *dx, size_t lddx, float *scratch)
{
    tn_avx512bf16_back_dx(&turned_rows, &turned_panels, b, begin, end, dx, lddx, scratch);
}

static void narrow_dw(const tn_backward *b, size_t begin, size_t end, float *dw, float *scratch)
{
    tn_avx512bf16_back_dw(&turned_rows, b, begin, end, dw, scratch);
}

const tn_narrow tn_avx512bf16_narrow = { tn_avx512bf16_back_bytes, tn_avx512bf16_back_input, narrow_dx, narrow_dw };
