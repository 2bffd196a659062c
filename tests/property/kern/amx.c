/* Products in tiles (kern/amx_pairs.h, kern/amx_back.h, kern/amx_codes.h, kern/amx_wide.h) over emulated tile instructions, on every machine:
 * equal to the bit to the plain statements of what they compute. Where the instructions exist, codes.c and linear.c run the set. */
#include "property/kern/amx_emulated.h"

#define PAIRS_RELAY tn_relay_rows
#define CODES_TILE(wide, tile) codes_tile((tile)->rows, wide, tile);
#include "kern/amx_codes.h"
#include "kern/amx_back.h"

static tn_relay_fn relay_wide;
#define WIDE_RELAY relay_wide
#include "kern/amx_wide.h"

/* 8-bit codes of any weights, plus 128: what the vector units lay out. */
static void relay_wide(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    for (size_t u = unit; u < unit + units; u++, to += WIDE_BYTES) {
        memset(to, 0, WIDE_BYTES);
        for (size_t n = 0; n < TN_PANEL && panel * TN_PANEL + n < w->rows; n++) {
            float values[TN_WIDE_BLOCK], scale;
            unsigned char row[260 + 136];
            const unsigned char *data = w->data;
            const size_t block = tn_dtype_of(w->type)->block_bytes, row_bytes = tn_dtype_row_bytes(w->type, w->cols);
            const size_t output = panel * TN_PANEL + n;
            if (w->order == TN_ROWS)
                memcpy(row, data + output * row_bytes + u * block, block);
            else
                tn_panel_row(w->type, data + panel * tn_panel_bytes(w->type, w->cols) + u * tn_unit_bytes(w->type), n,
                             TN_WIDE_BLOCK, row);
            tn_matrix_unpack(w, output, u * TN_WIDE_BLOCK, TN_WIDE_BLOCK, values);
            memcpy(&scale, row, sizeof scale);
            memcpy(to + 4 * n, &scale, sizeof scale);
            for (size_t k = 0; k < TN_WIDE_BLOCK; k++)
                to[TN_LINE * (1 + k / 4) + 4 * n + k % 4] = (unsigned char)(128 + (int)rintf(values[k] / scale));
        }
    }
}

static size_t emulated_scratch(const tn_matrix *w, size_t m)
{
    const tn_tiling tiling = wide_has(w->type)    ? wide_tiling(w->type)
                             : w->type != TN_BF16 ? codes_tiling(w->type, m)
                             : m <= PAIRS_THIN    ? pairs_thin
                                                  : pairs_wide;
    return tn_tiling_scratch(&tiling);
}

static size_t emulated_input_bytes(const tn_matrix *w, size_t m)
{
    return w->type == TN_BF16 ? pairs_bytes(w, m) : tn_codes_bytes(w, m);
}

/* Row i of x in codes, filled up with zeros. */
static void input_codes(const tn_matrix *w, const float *x, size_t i, size_t m, void *input)
{
    const size_t units = tn_pieces(w->cols, TN_UNIT);
    const tn_codes to = tn_codes_at(input, m, units);
    for (size_t b = 0; b < 2 * units; b++) {
        const size_t at = i * units * 2 + b, count = b < w->cols / TN_BLOCK ? TN_BLOCK : 0;
        float largest = 0;
        int32_t sum = 0;
        for (size_t k = 0; k < count; k++)
            largest = fmaxf(largest, fabsf(x[b * TN_BLOCK + k]));
        for (size_t k = 0; k < TN_BLOCK; k++) {
            to.codes[at * TN_BLOCK + k] = k < count && largest > 0 ? (int8_t)rintf(x[b * TN_BLOCK + k] * (127 / largest)) : 0;
            sum += to.codes[at * TN_BLOCK + k];
        }
        to.scales[at] = largest / 127;
        to.starts[at] = -tn_dtype_of(w->type)->offset * sum;
    }
}

static void input_wide(const tn_matrix *w, const float *x, size_t i, size_t m, void *input)
{
    const size_t units = w->cols / TN_WIDE_BLOCK;
    const tn_wide_codes to = tn_wide_codes_at(input, m, units);
    for (size_t u = 0; u < units; u++, x += TN_WIDE_BLOCK) {
        int8_t *codes = to.codes + (i * units + u) * TN_WIDE_BLOCK;
        float largest = 0;
        int32_t sum = 0;
        for (size_t k = 0; k < TN_WIDE_BLOCK; k++)
            largest = fmaxf(largest, fabsf(x[k]));
        for (size_t k = 0; k < TN_WIDE_BLOCK; k++)
            sum += codes[k] = (int8_t)rintf(x[k] * (127 / largest));
        to.sums[i * units + u] = (tn_wide_sums){ .scale = largest / 127, .start = -128 * sum };
    }
}

static void emulated_input(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end, size_t m,
                           void *input)
{
    if (w->type == TN_BF16)
        pairs_input(w, x, ldx, begin, end, m, input);
    for (size_t i = begin; i < end && w->type != TN_BF16; i++)
        (wide_has(w->type) ? input_wide : input_codes)(w, x + i * ldx, i, m, input);
}

static void emulated_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx, const void *input,
                            size_t m, tn_real *y, size_t ldy, tn_real *scratch)
{
    size_t before = machine.products;
    (void)x, (void)ldx;
    if (w->type == TN_BF16)
        pairs_linear(w, begin, end, input, m, y, ldy, scratch);
    else
        (wide_has(w->type) ? wide_linear : codes_linear)(w, begin, end, input, m, y, ldy, scratch);
    assert_false(machine.configured);
    assert_true(machine.products > before);
}

static const tn_kernels emulated = { .name = "emulated amx", .linear_chunk = 64, .linear_scratch = emulated_scratch,
                                     .input_bytes = emulated_input_bytes, .input = emulated_input,
                                     .linear = emulated_linear };

/* Around the borders of parts, tiles, panels, steps and slabs. */
static const size_t sizes[][3] = { { 4, 16, 32 },   { 5, 67, 96 },   { 7, 48, 2080 }, { 15, 33, 1056 }, { 16, 80, 64 },
                                   { 17, 17, 1024 }, { 31, 50, 96 },  { 32, 32, 544 }, { 33, 100, 160 }, { 37, 20, 1120 },
                                   { 48, 31, 192 },  { 49, 64, 64 },  { 65, 40, 96 },  { 101, 20, 608 } };

/* How many of the 2 m n outputs for weights in rows and in panels are not those of the statement. */
static size_t count_others(const tn_kernels *kernels, const tn_setup *s, tn_statement *expected)
{
    float *values = take(s->m * s->n, sizeof *values);
    put_statement(s, expected, 0, values);
    size_t different = count_different(kernels, &s->rows.w, s, values) + count_different(kernels, &s->panels.w, s, values);
    free(values);
    return different;
}

static const tn_sets emulated_only = { { &emulated }, 1 };

static void check(tn_dtype type, tn_statement *expected)
{
    check_sets(&emulated_only, type, sizes, sizeof sizes / sizeof *sizes, expected);
}

static void test_8_bits(void **state)
{
    (void)state;
    check(TN_Q8_0, expected_code);
}

static void test_4_bits(void **state)
{
    (void)state;
    check(TN_Q4_0, expected_code);
    check(TN_IQ4_NL, expected_code);
}

static void test_blocks_of_256(void **state)
{
    const size_t of_256[][3] = { { 7, 16, 256 },  { 8, 67, 256 },   { 15, 33, 2304 }, { 31, 50, 512 },  { 32, 32, 2048 },
                                 { 33, 100, 768 }, { 49, 17, 4352 }, { 64, 64, 256 },  { 65, 40, 512 }, { 101, 20, 1280 } };
    (void)state;
    check_sets(&emulated_only, TN_Q8_256, of_256, sizeof of_256 / sizeof *of_256, expected_wide);
    check_sets(&emulated_only, TN_Q4_256, of_256, sizeof of_256 / sizeof *of_256, expected_wide);
}

static void test_bf16(void **state)
{
    const size_t odd[][3] = { { 1, 1, 1 }, { 1, 130, 45 }, { 2, 3, 5 }, { 3, 70, 2051 }, { 34, 19, 767 }, { 72, 7, 33 } };
    (void)state;
    check(TN_BF16, expected_tiles);
    check_sets(&emulated_only, TN_BF16, odd, sizeof odd / sizeof *odd, expected_tiles);
}

/* ------------------------------------------------------ gradients -- */

/* Products with the tile of the gradients, whose x is in rows, and which adds to what is there. */
static const tn_tiling back_tiling = { .direct = back_tile, .relaid = back_tile, .relay = tn_relay_rows, .relaid_bytes = PAIRS_UNIT,
                                       .rows = PAIRS_WIDE, .panels = PAIRS_PANELS, .slab = BACK_SLAB, .unit = TN_UNIT };

static size_t back_scratch(const tn_matrix *w, size_t m)
{
    (void)w, (void)m;
    return tn_tiling_scratch(&back_tiling);
}

static size_t back_input_bytes(const tn_matrix *w, size_t m)
{
    return (m + PART_ROWS - 1) * tn_pieces(w->cols, TN_UNIT) * TN_UNIT * 2;
}

static void back_input(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    size_t cols = tn_pieces(w->cols, TN_UNIT) * TN_UNIT;
    (void)m;
    for (size_t i = begin; i < end; i++)
        for (size_t k = 0; k < cols; k += LANES) {
            size_t count = k < w->cols ? tn_min(LANES, w->cols - k) : 0;
            vec_store_bf16((unsigned char *)input + (i * cols + k) * 2, count > 0 ? vec_load_part(x + i * ldx + k, count) : vec_set(0));
        }
}

static void back_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx, const void *input, size_t m,
                        tn_real *y, size_t ldy, tn_real *scratch)
{
    size_t before = machine.products;
    (void)x, (void)ldx;
    for (size_t i = 0; i < m; i++)
        memset(y + i * ldy + begin, 0, (end - begin) * sizeof *y);
    back_configure();
    tn_tiling_run(&back_tiling, w, begin, end, NULL, 0, input, m, true, y, ldy, scratch);
    tile_release();
    assert_true(machine.products > before);
}

static const tn_kernels back = { .name = "emulated gradients", .linear_chunk = 64, .linear_scratch = back_scratch,
                                 .input_bytes = back_input_bytes, .input = back_input, .linear = back_linear };

static void test_gradients(void **state)
{
    const size_t odd[][3] = { { 1, 1, 1 }, { 1, 130, 45 }, { 2, 3, 5 }, { 3, 70, 2051 }, { 34, 19, 767 }, { 72, 7, 33 } };
    const tn_sets back_only = { { &back }, 1 };
    (void)state;
    check_sets(&back_only, TN_BF16, sizes, sizeof sizes / sizeof *sizes, expected_tiles);
    check_sets(&back_only, TN_BF16, odd, sizeof odd / sizeof *odd, expected_tiles);
    tn_setup s = open_setup(TN_BF16, 20, 40, 300, 1);
    assert_in_range(count_others(&back, &s, expected_pairs), 400, 1600);
    close_setup(&s);
}

/* The statement itself: sums in the order of VDPBF16PS differ from those in tiles. */
static void test_orders_are_told_apart(void **state)
{
    tn_setup s = open_setup(TN_BF16, 20, 40, 300, 1);
    (void)state;
    assert_int_equal(count_others(&emulated, &s, expected_tiles), 0);
    assert_in_range(count_others(&emulated, &s, expected_pairs), 400, 1600);
    close_setup(&s);
}

/* A row has the same bits alone and among others. */
static void test_rows_do_not_depend_on_others(void **state)
{
    const size_t rows[] = { 1, 3, 4, 5, 13, 16, 17, 23, 33, 37, 47, 49, 65 };
    (void)state;
    for (int type = 0; type < TN_DTYPE_COUNT; type++) {
        bool wide = wide_has((tn_dtype)type);
        if (type != TN_BF16 && !wide && !codes_has((tn_dtype)type))
            continue;
        tn_setup many = open_setup((tn_dtype)type, 102, 34, wide ? 1024 : 1056, 1);
        float *all = run(&emulated, &many.panels.w, &many);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            tn_setup few = many;
            size_t m = few.m = rows[i];
            if (type != TN_BF16 && m < (wide ? (size_t)WIDE_LEAST : (size_t)CODES_LEAST))
                continue;
            float *y = run(&emulated, &few.panels.w, &few);
            assert_memory_equal(y, all, m * few.n * sizeof *y);
            free(y);
        }
        free(all);
        close_setup(&many);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_8_bits),
        cmocka_unit_test(test_4_bits),
        cmocka_unit_test(test_blocks_of_256),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_orders_are_told_apart),
        cmocka_unit_test(test_rows_do_not_depend_on_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
