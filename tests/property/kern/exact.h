/* What the tests of products with rounded x share: plain statements of what they compute, to the bit, and counting where
 * a set differs from one. */
#ifndef TENEBRA_TESTS_KERN_EXACT_H
#define TENEBRA_TESTS_KERN_EXACT_H

#include "property/kern/common.h"

typedef struct tn_setup {
    tn_test_matrix rows, panels;
    size_t m, n, k, ldx;
    float *x;
} tn_setup;

/* Output n of row i. */
typedef float tn_statement(const tn_setup *s, size_t i, size_t n);

static inline tn_setup open_setup(tn_dtype type, size_t m, size_t n, size_t k, double scale)
{
    tn_rng rng = tn_rng_seed(m + 31 * n + 1009 * k), again = rng;
    tn_setup s = { .m = m, .n = n, .k = k, .ldx = k + 1 };
    s.rows = random_matrix(&rng, type, n, k, 1);
    s.panels = random_matrix(&again, type, n, k, 1);
    put_into_panels(&s.panels);
    s.x = random_floats(&rng, m * s.ldx, scale);
    return s;
}

static inline void close_setup(tn_setup *s)
{
    free_matrix(&s->rows);
    free_matrix(&s->panels);
    free(s->x);
}

static inline float scale_of(const unsigned char *block)
{
    float scale;
    tn_dtype_of(TN_F16)->unpack(block, 1, &scale);
    return scale;
}

/* The signed codes of one stored block. */
static inline void codes_of(tn_dtype type, const unsigned char *block, int codes[TN_BLOCK])
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    for (int i = 0; i < TN_BLOCK; i++)
        codes[i] = type == TN_Q8_0 ? (int8_t)block[2 + i]
                                   : traits->codebook[block[2 + i % 16] >> (i / 16 * 4) & 15] - traits->offset;
}

static inline float expected_code(const tn_setup *s, size_t i, size_t n)
{
    const tn_matrix *w = &s->rows.w;
    const size_t bytes = tn_dtype_of(w->type)->block_bytes;
    const unsigned char *row = (const unsigned char *)w->data + n * tn_dtype_row_bytes(w->type, s->k);
    float sum = 0;
    for (size_t b = 0; b < s->k / TN_BLOCK; b++) {
        const float *x = s->x + i * s->ldx + b * TN_BLOCK;
        float largest = 0;
        int codes[TN_BLOCK], integer = 0;
        for (int j = 0; j < TN_BLOCK; j++)
            largest = fmaxf(largest, fabsf(x[j]));
        float inverse = largest > 0 ? 127 / largest : 0;
        codes_of(w->type, row + b * bytes, codes);
        for (int j = 0; j < TN_BLOCK; j++)
            integer += codes[j] * (int)rintf(x[j] * inverse);
        sum = fmaf(scale_of(row + b * bytes) * (largest / 127), (float)integer, sum);
    }
    return sum;
}

/* Blocks of 256: one scale of x and of w, factors for parts of 32 codes of 4 bits. */
static inline float expected_wide(const tn_setup *s, size_t i, size_t n)
{
    const tn_matrix *w = &s->rows.w;
    const tn_dtype_traits *traits = tn_dtype_of(w->type);
    const unsigned char *block = (const unsigned char *)w->data + n * tn_dtype_row_bytes(w->type, s->k);
    float sum = 0;
    for (size_t b = 0; b < s->k / TN_WIDE_BLOCK; b++, block += traits->block_bytes) {
        const float *x = s->x + i * s->ldx + b * TN_WIDE_BLOCK;
        float largest = 0, scale;
        int integer = 0;
        memcpy(&scale, block, sizeof scale);
        for (size_t j = 0; j < TN_WIDE_BLOCK; j++)
            largest = fmaxf(largest, fabsf(x[j]));
        for (size_t j = 0; j < TN_WIDE_BLOCK; j++) {
            int code = traits->bits == 8 ? (int8_t)block[4 + j] : 0, in = (int)(j % TN_BLOCK), part = (int)(j / TN_BLOCK);
            if (traits->bits == 4) {
                int factor = block[4 + part / 2] >> (part % 2 * 4) & 15;
                code = traits->codebook[block[8 + part * 16 + in % 16] >> (in / 16 * 4) & 15] - traits->offset;
                code *= factor < 8 ? factor : factor - 16;
            }
            integer += code * (int)rintf(x[j] * (127 / largest));
        }
        sum = fmaf(scale * (largest / 127), (float)integer, sum);
    }
    return sum;
}

static inline float narrowed(float value)
{
    unsigned char packed[2];
    tn_dtype_of(TN_BF16)->pack(&value, 1, packed);
    tn_dtype_of(TN_BF16)->unpack(packed, 1, &value);
    return value;
}

/* VDPBF16PS: of a pair the odd input first. */
static inline float expected_pairs(const tn_setup *s, size_t i, size_t n)
{
    float sum = 0;
    for (size_t k = 0; k < s->k; k += 2)
        for (size_t odd = k + 1 < s->k ? 2 : 1; odd-- > 0;)
            sum = fmaf(narrowed(s->x[i * s->ldx + k + odd]), s->rows.values[n * s->k + k + odd], sum);
    return sum;
}

/* Tiles: 32 inputs at a time, those with even and those with odd numbers in a chain each, denormals as 0. */
static inline float flushed(float value) { return fabsf(value) < FLT_MIN ? copysignf(0, value) : value; }

static inline float expected_tiles(const tn_setup *s, size_t i, size_t n)
{
    float sum = 0;
    for (size_t begin = 0; begin < s->k; begin += 32) {
        float chains[2] = { 0, 0 };
        for (size_t k = begin; k < s->k && k < begin + 32; k++)
            chains[k % 2] = flushed(fmaf(flushed(narrowed(s->x[i * s->ldx + k])), flushed(s->rows.values[n * s->k + k]),
                                         chains[k % 2]));
        sum = flushed(sum + flushed(chains[0] + chains[1]));
    }
    return sum;
}

static inline float *run(const tn_kernels *kernels, const tn_matrix *w, const tn_setup *s)
{
    float *y = field(s->m * s->n), *scratch = take(kernels->linear_scratch(w, s->m), sizeof *scratch);
    void *input = input_of(kernels, w, s->x, s->ldx, s->m);
    for (size_t n = 0; n < s->n; n += kernels->linear_chunk)
        kernels->linear(w, n, n + kernels->linear_chunk < s->n ? n + kernels->linear_chunk : s->n, s->x, s->ldx, input,
                        s->m, y, s->n, scratch);
    free(input);
    free(scratch);
    return y;
}

static inline size_t count_unequal(const float *y, const float *values, size_t count)
{
    size_t unequal = 0;
    for (size_t i = 0; i < count; i++)
        unequal += memcmp(&y[i], &values[i], sizeof *y) != 0;
    return unequal;
}

/* Outputs begin .. n-1 of the statement into values [m, n]. */
static inline void put_statement(const tn_setup *s, tn_statement *expected, size_t begin, float *values)
{
    for (size_t i = 0; i < s->m; i++)
        for (size_t n = begin; n < s->n; n++)
            values[i * s->n + n] = expected(s, i, n);
}

static inline size_t count_different(const tn_kernels *kernels, const tn_matrix *w, const tn_setup *s, const float *values)
{
    float *y = run(kernels, w, s);
    size_t different = count_unequal(y, values, s->m * s->n);
    free(y);
    return different;
}

static inline void check_product(const tn_kernels *kernels, const tn_matrix *w, const tn_setup *s, const float *values)
{
    size_t different = count_different(kernels, w, s, values);
    if (different)
        print_message("%s %s%s m %zu n %zu k %zu: %zu differ\n", kernels->name, tn_dtype_of(w->type)->name,
                      w->order == TN_PANELS ? " in panels" : "", s->m, s->n, s->k, different);
    assert_int_equal(different, 0);
}

typedef struct tn_sets {
    const tn_kernels *at[16];
    size_t count;
} tn_sets;

/* Sets at sizes { m, n, k } for small and for large x, with weights in rows and in panels. The statement is the same for
 * all of them and takes longer than they do. */
static inline void check_sets(const tn_sets *sets, tn_dtype type, const size_t (*sizes)[3], size_t count,
                              tn_statement *expected)
{
    for (size_t i = 0; i < count && sets->count > 0; i++)
        for (double scale = 1e-3; scale < 1e6; scale *= 1e4) {
            tn_setup s = open_setup(type, sizes[i][0], sizes[i][1], sizes[i][2], scale);
            float *values = take(s.m * s.n, sizeof *values), *flipped = take(s.m * s.n, sizeof *flipped);
            put_statement(&s, expected, 0, values);
            for (size_t set = 0; set < sets->count; set++) {
                check_product(sets->at[set], &s.rows.w, &s, values);
                check_product(sets->at[set], &s.panels.w, &s, values);
            }
            /* The check itself: a flipped code of the last weight shows in its column of the statement, which reads the rows
             * and which panels keep to, or of the product with rows, if the statement reads the values. */
            ((unsigned char *)s.rows.memory)[1 + tn_matrix_bytes(&s.rows.w) - 1] ^= 0x30;
            memcpy(flipped, values, s.m * s.n * sizeof *values);
            put_statement(&s, expected, s.n - 1, flipped);
            for (size_t set = 0; set < sets->count; set++)
                assert_in_range(count_different(sets->at[set], &s.rows.w, &s, flipped) +
                                    count_unequal(flipped, values, s.m * s.n), 1, s.m);
            free(values);
            free(flipped);
            close_setup(&s);
        }
}

#endif
