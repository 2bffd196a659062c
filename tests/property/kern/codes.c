/* Products of 8-bit x with quantised weights, and of BF16 x with BF16 weights: equal to the bit to the plain
 * statement of what they compute, in every set that has them, in rows and in panels. */
#include "property/kern/common.h"

typedef struct tn_setup {
    tn_test_matrix rows, panels;
    size_t m, n, k, ldx;
    float *x;
} tn_setup;

static tn_setup open_setup(tn_dtype type, size_t m, size_t n, size_t k, double scale)
{
    tn_rng rng = tn_rng_seed(m + 31 * n + 1009 * k), again = rng;
    tn_setup s = { .m = m, .n = n, .k = k, .ldx = k + 1 };
    s.rows = random_matrix(&rng, type, n, k, 1);
    s.panels = random_matrix(&again, type, n, k, 1);
    put_into_panels(&s.panels);
    s.x = random_floats(&rng, m * s.ldx, scale);
    return s;
}

static void close_setup(tn_setup *s)
{
    free_matrix(&s->rows);
    free_matrix(&s->panels);
    free(s->x);
}

static float scale_of(const unsigned char *block)
{
    float scale;
    tn_dtype_of(TN_F16)->unpack(block, 1, &scale);
    return scale;
}

/* The signed codes of one stored block. */
static void codes_of(tn_dtype type, const unsigned char *block, int codes[TN_BLOCK])
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    for (int i = 0; i < TN_BLOCK; i++)
        codes[i] = type == TN_Q8_0 ? (int8_t)block[2 + i]
                                   : traits->codebook[block[2 + i % 16] >> (i / 16 * 4) & 15] - traits->offset;
}

static float expected_code(const tn_setup *s, size_t i, size_t n)
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

static float narrowed(float value)
{
    unsigned char packed[2];
    tn_dtype_of(TN_BF16)->pack(&value, 1, packed);
    tn_dtype_of(TN_BF16)->unpack(packed, 1, &value);
    return value;
}

static float expected_pairs(const tn_setup *s, size_t i, size_t n)
{
    float sum = 0;
    for (size_t k = 0; k < s->k; k += 2)
        for (size_t odd = k + 1 < s->k ? 2 : 1; odd-- > 0;)
            sum = fmaf(narrowed(s->x[i * s->ldx + k + odd]), s->rows.values[n * s->k + k + odd], sum);
    return sum;
}

static float *run(const tn_kernels *kernels, const tn_matrix *w, const tn_setup *s)
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

/* How many outputs of a set differ, for weights in rows and in panels. */
static size_t count_different(const tn_kernels *kernels, const tn_setup *s, float (*expected)(const tn_setup *, size_t, size_t))
{
    size_t different = 0;
    float *rows = run(kernels, &s->rows.w, s), *panels = run(kernels, &s->panels.w, s);
    for (size_t i = 0; i < s->m; i++)
        for (size_t n = 0; n < s->n; n++) {
            float value = expected(s, i, n);
            different += memcmp(&value, &rows[i * s->n + n], sizeof value) != 0;
            different += memcmp(&value, &panels[i * s->n + n], sizeof value) != 0;
        }
    free(rows);
    free(panels);
    return different;
}

static const size_t sizes[][3] = { { 1, 16, 32 },  { 1, 67, 96 },  { 2, 80, 64 },   { 3, 33, 160 }, { 5, 130, 128 },
                                   { 6, 64, 2080 }, { 7, 48, 992 }, { 13, 17, 1056 }, { 33, 100, 1120 } };

static void check_type(tn_dtype type, bool (*applies)(const tn_kernels *),
                       float (*expected)(const tn_setup *, size_t, size_t))
{
    size_t sets = 0;
    TN_EACH_SET(kernels) {
        if (!applies(kernels))
            continue;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (double scale = 1e-3; scale < 1e6; scale *= 1e4) {
                tn_setup s = open_setup(type, sizes[i][0], sizes[i][1], sizes[i][2], scale);
                size_t different = count_different(kernels, &s, expected);
                if (different)
                    print_message("%s %s m %zu n %zu k %zu: %zu differ\n", kernels->name, tn_dtype_of(type)->name, s.m,
                                  s.n, s.k, different);
                assert_int_equal(different, 0);
                /* The check itself: a flipped code of the last weight shows in its column. */
                ((unsigned char *)s.rows.memory)[1 + tn_matrix_bytes(&s.rows.w) - 1] ^= 0x30;
                assert_in_range(count_different(kernels, &s, expected), 1, s.m);
                close_setup(&s);
            }
        sets++;
    }
    if (sets == 0)
        print_message("no set of this machine has such products\n");
}

static bool has_codes(const tn_kernels *kernels)
{
    const tn_matrix w = { TN_Q8_0, 16, 32, NULL, TN_PANELS };
    return kernels->input_bytes(&w, 1) > 0;
}

static bool has_pairs(const tn_kernels *kernels)
{
    const tn_matrix w = { TN_BF16, 16, 32, NULL, TN_PANELS };
    return kernels->input_bytes(&w, 1) > 0 && strcmp(kernels->name, "amx") != 0; /* whose order is another */
}

static void test_quantised(void **state)
{
    (void)state;
    check_type(TN_Q8_0, has_codes, expected_code);
    check_type(TN_Q4_0, has_codes, expected_code);
    check_type(TN_IQ4_NL, has_codes, expected_code);
}

static void test_bf16(void **state)
{
    (void)state;
    check_type(TN_BF16, has_pairs, expected_pairs);
}

/* A row of x that holds a NaN or an infinity gives no number anywhere; a row of zeros gives zeros. */
static void test_not_finite(void **state)
{
    const float values[] = { NAN, INFINITY, -INFINITY };
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t v = 0; v < sizeof values / sizeof *values && has_codes(kernels); v++) {
            tn_setup s = open_setup(TN_Q8_0, 9, 40, 96, 1);
            s.x[4 * s.ldx + 50] = values[v];
            memset(s.x + 5 * s.ldx, 0, s.k * sizeof *s.x);
            float *y = run(kernels, &s.panels.w, &s);
            for (size_t i = 0; i < s.m; i++)
                for (size_t n = 0; n < s.n; n++) {
                    assert_int_equal(isfinite(y[i * s.n + n]) != 0, i != 4);
                    assert_int_equal(y[i * s.n + n] == 0, i == 5);
                }
            free(y);
            close_setup(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
