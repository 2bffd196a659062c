/* Number types: every one of the 65536 patterns of both 16-bit types, and rounding. */
#include "kern/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The value of a pattern by its definition (IEEE 754-2019, section 3.4). */
static double value_of(uint16_t pattern, int exponent_bits, int mantissa_bits)
{
    int exponent = pattern >> mantissa_bits & ((1 << exponent_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
    double mantissa = pattern & ((1 << mantissa_bits) - 1), sign = pattern & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

static uint16_t pack_one(tn_dtype type, float value)
{
    uint16_t pattern;
    tn_dtype_of(type)->pack(&value, 1, &pattern);
    return pattern;
}

static void check_patterns(tn_dtype type, int exponent_bits, int mantissa_bits)
{
    for (uint32_t p = 0; p <= 0xFFFF; p++) {
        uint16_t pattern = (uint16_t)p;
        double expected = value_of(pattern, exponent_bits, mantissa_bits);
        float value;
        tn_dtype_of(type)->unpack(&pattern, 1, &value);
        if (isnan(expected)) {
            assert_true(isnan(value));
            assert_true(isnan(value_of(pack_one(type, value), exponent_bits, mantissa_bits)));
            assert_int_equal(pack_one(type, value) >> 15, p >> 15);
            continue;
        }
        assert_true((double)value == expected);
        assert_int_equal(signbit(value) != 0, p >> 15);
        assert_int_equal(pack_one(type, value), pattern);
    }
}

static void test_patterns(void **state)
{
    (void)state;
    check_patterns(TN_F16, 5, 10);
    check_patterns(TN_BF16, 8, 7);
}

/* Between neighbours: below and above the middle go to the nearer, the middle to the even pattern. */
static void check_rounding(tn_dtype type, int exponent_bits, int mantissa_bits)
{
    uint16_t largest = (uint16_t)((((1 << exponent_bits) - 1) << mantissa_bits) - 1);
    for (uint32_t p = 0; p < largest; p++) {
        double low = value_of((uint16_t)p, exponent_bits, mantissa_bits);
        double high = value_of((uint16_t)(p + 1), exponent_bits, mantissa_bits);
        float middle = (float)((low + high) / 2);
        if ((double)middle != (low + high) / 2)
            continue; /* half of the smallest denormal of F32 itself */
        assert_int_equal(pack_one(type, middle), p + p % 2);
        assert_int_equal(pack_one(type, nextafterf(middle, 0)), p);
        assert_int_equal(pack_one(type, nextafterf(middle, INFINITY)), p + 1);
        assert_int_equal(pack_one(type, -middle), 0x8000 | (p + p % 2));
    }
    double last = value_of(largest, exponent_bits, mantissa_bits);
    double step = last - value_of((uint16_t)(largest - 1), exponent_bits, mantissa_bits);
    assert_int_equal(pack_one(type, (float)(last + step / 2)), largest + 1); /* a tie: to infinity, which is even */
    assert_int_equal(pack_one(type, nextafterf((float)(last + step / 2), 0)), largest);
    assert_int_equal(pack_one(type, INFINITY), largest + 1);
    assert_int_equal(pack_one(type, -INFINITY), 0x8000 | (largest + 1));
}

static void test_rounding(void **state)
{
    (void)state;
    check_rounding(TN_F16, 5, 10);
    check_rounding(TN_BF16, 8, 7);
}

/* A NaN whose mantissa has nothing in the kept bits must not become infinity. */
static void test_nan_stays(void **state)
{
    const uint32_t bits = 0x7F800001u;
    float value;
    (void)state;
    memcpy(&value, &bits, sizeof value);
    assert_true(isnan(value_of(pack_one(TN_F16, value), 5, 10)));
    assert_true(isnan(value_of(pack_one(TN_BF16, value), 8, 7)));
}

static void test_wide_types_at_odd_addresses(void **state)
{
    const float values[5] = { 0.1f, -0.0f, INFINITY, 1e-45f, -3.4e38f };
    unsigned char packed[48];
    float back[5];
    (void)state;
    for (int type = 0; type < TN_DTYPE_COUNT; type++) {
        if (tn_dtype_of((tn_dtype)type)->block > 1)
            continue;
        memset(packed, 0xAA, sizeof packed);
        tn_dtype_of((tn_dtype)type)->pack(values, 5, packed + 1);
        tn_dtype_of((tn_dtype)type)->unpack(packed + 1, 5, back);
        if (type == TN_F32 || type == TN_F64)
            assert_memory_equal(values, back, sizeof values);
        assert_int_equal(packed[0], 0xAA);
        assert_int_equal(packed[1 + tn_dtype_row_bytes((tn_dtype)type, 5)], 0xAA);
    }
}

static void test_names(void **state)
{
    tn_dtype type = TN_DTYPE_COUNT;
    (void)state;
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        assert_true(tn_dtype_by_name(tn_dtype_of((tn_dtype)i)->name, &type));
        assert_int_equal(type, i);
    }
    assert_true(tn_dtype_by_name("BF16", &type));
    assert_int_equal(type, TN_BF16);
    assert_int_equal(tn_dtype_row_bytes(TN_BF16, 7), 14);
    assert_int_equal(tn_dtype_row_bytes(TN_F64, 7), 56);
    assert_false(tn_dtype_by_name("bf16", &type));
    assert_false(tn_dtype_by_name("", &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_wide_types_at_odd_addresses),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
