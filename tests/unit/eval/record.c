/* The record of a trace with regions and turns. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/record.h"

static const double nowhere = (double)NAN;

static const tenebra_region calls[] = {
    { 0, TENEBRA_OUTCOME_SHOWN, 0, 1.5, 2, 30, 40 },
    { 2, TENEBRA_OUTCOME_INVALID, 0, nowhere, nowhere, nowhere, nowhere },
    { 3, TENEBRA_OUTCOME_REFUSED, 0, nowhere, nowhere, nowhere, nowhere },
};

static json_t *make_record(size_t call_count)
{
    const tenebra_note notes[] = { { "calls", TENEBRA_NOTE_REGIONS, call_count, calls }, { "invalid_calls", TENEBRA_NOTE_COUNT, 1, NULL } };
    const tenebra_trace trace = { .text = "B", .token_count = 7, .latent_steps = 2, .injected_tokens = 5, .images_added = 1,
                                  .notes = notes, .note_count = call_count > 0 ? 2 : 0 };
    json_t *record = json_object();
    assert_true(tn_record_add_trace(record, &trace, 1));
    return record;
}

static double number_at(const json_t *list, size_t index)
{
    return json_number_value(json_array_get(list, index));
}

static void test_regions(void **state)
{
    (void)state;
    json_t *record = make_record(3);
    const json_t *regions = json_object_get(record, "regions"), *first = json_array_get(regions, 0);
    assert_int_equal(json_array_size(regions), 3);
    assert_string_equal(json_string_value(json_array_get(first, 1)), "shown");
    assert_true(number_at(first, 0) == 0 && number_at(first, 2) == 1.5 && number_at(first, 5) == 40);
    assert_string_equal(json_string_value(json_array_get(json_array_get(regions, 1), 1)), "invalid");
    assert_true(number_at(json_array_get(regions, 1), 0) == 2);
    assert_true(json_is_null(json_array_get(json_array_get(regions, 1), 2)));
    assert_string_equal(json_string_value(json_array_get(json_array_get(regions, 2), 1)), "refused");
    json_decref(record);
}

static void test_counts(void **state)
{
    (void)state;
    json_t *record = make_record(2);
    assert_int_equal(json_integer_value(json_object_get(record, "calls")), 2);
    assert_int_equal(json_integer_value(json_object_get(record, "invalid_calls")), 1);
    assert_int_equal(json_integer_value(json_object_get(record, "crops")), 1);
    assert_int_equal(json_integer_value(json_object_get(record, "ar_steps")), 9);
    assert_int_equal(json_integer_value(json_object_get(record, "ar_steps_injected")), 14);
    json_decref(record);
    record = make_record(0);
    assert_null(json_object_get(record, "regions"));
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
