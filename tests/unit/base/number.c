/* Whole numbers as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/number.h"

static void test_whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = { { "0", 0 }, { "007", 7 }, { "9007199254740993", 9007199254740993 }, { "9223372036854775807", INT64_MAX } };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t value = 1;
        assert_true(tn_whole_read(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1e3", "0x1", "1.0", "9223372036854775808",
                                       "18446744073709551617", "99999999999999999999999", "nan" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value = 42;
        assert_false(tn_whole_read(bad[i], &value));
        assert_true(value == 42);
    }
}

static void test_switches(void **state)
{
    (void)state;
    static const char *const words[2][6] = { { "0", "false", "False", "NO", "off", "no" }, { "1", "true", "TRUE", "Yes", "on", "On" } };
    for (size_t i = 0; i < 12; i++) {
        bool on = i / 6 == 0;
        assert_true(tn_switch_read(words[i / 6][i % 6], &on));
        assert_int_equal(on, i / 6);
    }
    static const char *const bad[] = { "", "2", "tru", "true ", "y", "null", "-1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool on = true, off = false;
        assert_false(tn_switch_read(bad[i], &on) || tn_switch_read(bad[i], &off));
        assert_true(on && !off);
    }
}

static void test_shortest_text(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } rows[] = { { 1e-5, "1e-5" }, { 4e-5, "4e-5" }, { 0.1, "0.1" }, { 0, "0" }, { 5, "5" }, { -2.5, "-2.5" }, { 1e22, "1e+22" },
                 { 0.1 + 0.2, "0.30000000000000004" }, { 1e-100, "1e-100" }, { 123456789, "123456789" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TN_NUMBER_TEXT];
        assert_string_equal(tn_number_print(rows[i].number, text), rows[i].text);
        assert_true(strtod(text, NULL) == rows[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole_numbers), cmocka_unit_test(test_switches),
                                        cmocka_unit_test(test_shortest_text) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
