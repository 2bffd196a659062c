/* Quantised blocks: layout to the byte, rounding, error; and panels, which have the same values. */
#include "base/rng.h"
#include "kern/panel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Values that each type represents exactly, and their bytes in the published layouts. */
static void test_layout(void **state)
{
    float values[32], back[32];
    unsigned char packed[34];
    (void)state;
    for (int i = 0; i < 32; i++)
        values[i] = (float)(i == 31 ? -127 : i - 15) / 2;
    tn_dtype_of(TN_Q8_0)->pack(values, 32, packed);
    assert_int_equal(packed[0] | packed[1] << 8, 0x3800); /* 0.5 */
    for (int i = 0; i < 31; i++)
        assert_int_equal((signed char)packed[2 + i], i - 15);
    assert_int_equal((signed char)packed[33], -127);
    tn_dtype_of(TN_Q8_0)->unpack(packed, 32, back);
    assert_memory_equal(back, values, sizeof back);

    for (int i = 0; i < 32; i++)
        values[i] = (float)(i % 16 - 8) / 4;
    tn_dtype_of(TN_Q4_0)->pack(values, 32, packed);
    assert_int_equal(packed[0] | packed[1] << 8, 0x3400); /* 0.25 */
    for (int i = 0; i < 16; i++)
        assert_int_equal(packed[2 + i], i | i << 4);
    tn_dtype_of(TN_Q4_0)->unpack(packed, 32, back);
    assert_memory_equal(back, values, sizeof back);

    static const int levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    for (int i = 0; i < 32; i++)
        values[i] = (float)levels[(i * 5 + i / 16) % 16];
    tn_dtype_of(TN_IQ4_NL)->pack(values, 32, packed);
    assert_int_equal(packed[0] | packed[1] << 8, 0x3C00); /* 1 */
    for (int i = 0; i < 16; i++)
        assert_int_equal(packed[2 + i], i * 5 % 16 | (i * 5 + 81) % 16 << 4);
    tn_dtype_of(TN_IQ4_NL)->unpack(packed, 32, back);
    assert_memory_equal(back, values, sizeof back);
}

/* Blocks of 256: a scale in F32; factors of parts in two's complement, the first in the lowest bits. */
static void test_wide_layout(void **state)
{
    float values[256], back[256], scale;
    unsigned char packed[260];
    (void)state;
    for (int i = 0; i < 256; i++)
        values[i] = (float)(i == 255 ? -127 : i % 127) / 2;
    tn_dtype_of(TN_Q8_256)->pack(values, 256, packed);
    memcpy(&scale, packed, sizeof scale);
    assert_true(scale == 0.5f);
    for (int i = 0; i < 255; i++)
        assert_int_equal((signed char)packed[4 + i], i % 127);
    assert_int_equal((signed char)packed[259], -127);
    tn_dtype_of(TN_Q8_256)->unpack(packed, 256, back);
    assert_memory_equal(back, values, sizeof back);

    static const int levels[16] = { -15, -12, -10, -8, -6, -4, -3, -1, 0, 2, 3, 5, 7, 9, 11, 15 };
    static const int factors[8] = { -8, 7, 4, 5, -6, 6, 7, -5 };
    const float unit = 0.25f;
    memcpy(packed, &unit, sizeof unit);
    const uint32_t word = 0xB76A5478u; /* the factors, the last first */
    for (int i = 0; i < 4; i++)
        packed[4 + i] = (unsigned char)(word >> 8 * i);
    for (int i = 0; i < 128; i++)
        packed[8 + i] = (unsigned char)(i % 16 | (i * 7 + 3) % 16 << 4);
    tn_dtype_of(TN_Q4_256)->unpack(packed, 256, back);
    for (int i = 0; i < 256; i++) {
        int part = i / 32, byte = part * 16 + i % 16, code = i % 32 < 16 ? byte % 16 : (byte * 7 + 3) % 16;
        assert_true(back[i] == unit * (float)(factors[part] * levels[code]));
    }
    tn_dtype_of(TN_Q4_256)->pack(back, 256, packed); /* found again, to the value */
    tn_dtype_of(TN_Q4_256)->unpack(packed, 256, values);
    for (int i = 0; i < 256; i++)
        assert_true(fabsf(values[i] - back[i]) <= 1e-6f * unit * 120);
}

static void test_special_blocks(void **state)
{
    float values[256] = { 0 }, back[256];
    unsigned char packed[272];
    (void)state;
    for (int type = TN_Q8_0; type <= TN_Q4_256; type++) {
        const tn_dtype_traits *traits = tn_dtype_of((tn_dtype)type);
        memset(values, 0, sizeof values);
        traits->pack(values, 256, packed);
        traits->unpack(packed, 256, back);
        for (int i = 0; i < 256; i++)
            assert_true(back[i] == 0);
        values[7] = -3e38f; /* beyond the range of a scale in F16: limited, not infinite */
        traits->pack(values, 256, packed);
        traits->unpack(packed, 256, back);
        assert_true(isfinite(back[7]) && back[7] < -4e5f);
        values[7] = 1e-42f; /* whose inverse is not finite */
        traits->pack(values, 256, packed);
        traits->unpack(packed, 256, back);
        assert_true(fabsf(back[7]) <= 2e-42f);
    }
}

/* Root mean square error over that of the values, for normally distributed weights. */
static double relative_error(tn_dtype type)
{
    enum { COUNT = 256 * 500 };
    tn_rng rng = tn_rng_seed(3);
    float *values = malloc(COUNT * sizeof *values), *back = malloc(COUNT * sizeof *back);
    unsigned char *packed = malloc(COUNT * 2);
    double error = 0, size = 0;
    for (size_t i = 0; i < COUNT; i++)
        values[i] = (float)tn_rng_normal(&rng);
    tn_dtype_of(type)->pack(values, COUNT, packed);
    tn_dtype_of(type)->unpack(packed, COUNT, back);
    for (size_t i = 0; i < COUNT; i++) {
        error += ((double)values[i] - (double)back[i]) * ((double)values[i] - (double)back[i]);
        size += (double)values[i] * (double)values[i];
    }
    free(values);
    free(back);
    free(packed);
    return sqrt(error / size);
}

/* A uniform step of d leaves d / sqrt(12); the largest of 32 normal numbers is about 2.1. 8 bits: 2.1 / 127 /
 * 3.46 = 0.0048. 4 bits: 2.1 / 8 / 3.46 = 0.076, which searching for the scale and, for the second type, its
 * levels lower. The largest of 256 is about 3.0: 3.0 / 127 / 3.46 = 0.0068. That the factors of parts are whole numbers
 * up to 8 costs Q4_256 a little more than what its levels gain: by exhaustive search 0.0816 was reached for such blocks. */
static void test_error(void **state)
{
    double q8_0 = relative_error(TN_Q8_0), q4_0 = relative_error(TN_Q4_0), iq4_nl = relative_error(TN_IQ4_NL);
    double q8_256 = relative_error(TN_Q8_256), q4_256 = relative_error(TN_Q4_256);
    (void)state;
    print_message("relative error: Q8_0 %.5f, Q8_256 %.5f, Q4_0 %.5f, IQ4_NL %.5f, Q4_256 %.5f\n", q8_0, q8_256, q4_0, iq4_nl,
                  q4_256);
    assert_true(q8_256 < 0.0075 && q8_256 > q8_0);
    assert_true(q4_256 < 1.025 * q4_0 && q4_256 > iq4_nl);
    assert_true(q8_0 < 0.0056 && q8_0 > 0.004);
    assert_true(q4_0 < 0.085 && q4_0 > 0.05);
    assert_true(iq4_nl < 0.95 * q4_0 && iq4_nl > 0.05);
}

/* For any bytes, a panel has the values of the rows from which it was made. */
static void test_panels(void **state)
{
    const size_t sizes[][2] = { { 1, 32 }, { 16, 64 }, { 17, 96 }, { 47, 160 }, { 17, 512 }, { 33, 256 } };
    tn_rng rng = tn_rng_seed(8);
    (void)state;
    for (int type = 0; type < TN_DTYPE_COUNT; type++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t n = sizes[s][0], k = sizes[s][1], row_bytes = tn_dtype_row_bytes((tn_dtype)type, k);
            if (!tn_panel_has((tn_dtype)type, k))
                continue;
            tn_matrix rows = { (tn_dtype)type, n, k, NULL, TN_ROWS }, panels = rows;
            panels.order = TN_PANELS;
            unsigned char *a = malloc(tn_matrix_bytes(&rows)), *b = malloc(tn_matrix_bytes(&panels));
            for (size_t i = 0; i < tn_matrix_bytes(&rows); i++)
                a[i] = (unsigned char)(tn_rng_next(&rng) & (i % 2 ? 0x3F : 0xFF)); /* no NaN */
            for (size_t i = 0; i < n; i += TN_PANEL)
                tn_panel_pack((tn_dtype)type, a + i * row_bytes, row_bytes, n - i < TN_PANEL ? n - i : TN_PANEL, k,
                              b + i / TN_PANEL * tn_panel_bytes((tn_dtype)type, k));
            rows.data = a;
            panels.data = b;
            unsigned char *row = malloc(row_bytes);
            for (size_t i = 0; i < n; i++) {
                float expected[512], found[512];
                tn_matrix_unpack(&rows, i, 0, k, expected);
                tn_matrix_unpack(&panels, i, 0, k, found);
                assert_memory_equal(expected, found, k * sizeof *found);
                tn_matrix_unpack(&panels, i, 32, k - 32, found);
                assert_memory_equal(expected + 32, found, (k - 32) * sizeof *found);
                tn_matrix_unpack(&rows, i, 32, k - 32, found);
                assert_memory_equal(expected + 32, found, (k - 32) * sizeof *found);
                tn_panel_row((tn_dtype)type, b + i / TN_PANEL * tn_panel_bytes((tn_dtype)type, k), i % TN_PANEL, k, row);
                assert_memory_equal(row, a + i * row_bytes, row_bytes);
            }
            free(row);
            free(a);
            free(b);
        }
}

static void test_which_matrices_exist(void **state)
{
    const tn_matrix odd = { TN_Q4_0, 16, 33, NULL, TN_ROWS }, plain = { TN_F32, 16, 64, NULL, TN_PANELS };
    const tn_matrix huge = { TN_BF16, SIZE_MAX / 4, 64, NULL, TN_PANELS }, good = { TN_IQ4_NL, 5, 64, NULL, TN_PANELS };
    (void)state;
    assert_false(tn_matrix_fits(&odd));
    assert_false(tn_matrix_fits(&plain));
    assert_false(tn_matrix_fits(&huge));
    assert_true(tn_matrix_fits(&good));
    assert_int_equal(tn_matrix_bytes(&good), 64 + 512);
    assert_int_equal(tn_panel_bytes(TN_Q8_0, 65), 2 * (64 + 1024));
    assert_int_equal(tn_panel_bytes(TN_BF16, 64), 2048);
    assert_int_equal(tn_panel_bytes(TN_Q8_256, 512), 2 * 65 * 64);
    assert_int_equal(tn_panel_bytes(TN_Q4_256, 512), 2 * 34 * 64);
    assert_false(tn_panel_has(TN_Q4_256, 320));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),       cmocka_unit_test(test_wide_layout),
        cmocka_unit_test(test_special_blocks),
        cmocka_unit_test(test_error),        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_which_matrices_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
