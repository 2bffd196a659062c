#include "unit/text/support.h"

enum { IMAGE = 7 };

static tn_ids list_of(const int32_t *ids, size_t count)
{
    tn_ids list = { 0 };
    assert_int_equal(tn_ids_append(&list, ids, count, NULL), TENEBRA_OK);
    return list;
}

static void grows(void **state)
{
    (void)state;
    tn_ids list = { 0 };
    for (int32_t i = 0; i < 1000; i++)
        assert_int_equal(tn_ids_push(&list, i, NULL), TENEBRA_OK);
    assert_int_equal(list.count, 1000);
    for (int32_t i = 0; i < 1000; i++)
        assert_int_equal(list.ids[i], i);
    tn_ids_free(&list);
    assert_null(list.ids);
}

static void each_placeholder_gets_its_count(void **state)
{
    (void)state;
    const int32_t before[] = { 1, IMAGE, 2, 3, IMAGE, IMAGE };
    const int32_t after[] = { 1, IMAGE, IMAGE, IMAGE, 2, 3, IMAGE, IMAGE, IMAGE };
    const size_t counts[] = { 3, 1, 2 };
    tn_ids list = list_of(before, 6);
    assert_int_equal(tn_ids_expand(&list, IMAGE, counts, 3, "images", NULL), TENEBRA_OK);
    assert_int_equal(list.count, 9);
    assert_memory_equal(list.ids, after, sizeof after);
    tn_ids_free(&list);
}

/* P7: images and placeholders must match. */
static void counts_that_do_not_match_are_refused(void **state)
{
    (void)state;
    const int32_t before[] = { 1, IMAGE, 2 };
    const size_t counts[] = { 2, 2 }, none[] = { 0 }, endless[] = { SIZE_MAX };
    tn_ids list = list_of(before, 3);
    tenebra_error error;
    assert_int_equal(tn_ids_expand(&list, IMAGE, counts, 2, "images", &error), TENEBRA_ERROR_MISMATCH);
    assert_non_null(strstr(error.sentence, "1 placeholders"));
    assert_string_equal(error.where, "images");
    assert_int_equal(tn_ids_expand(&list, IMAGE, counts, 0, "images", &error), TENEBRA_ERROR_MISMATCH);
    assert_int_equal(tn_ids_expand(&list, IMAGE, none, 1, "images", &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_ids_expand(&list, IMAGE, endless, 1, "images", &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(list.count, 3);
    assert_memory_equal(list.ids, before, sizeof before);
    tn_ids_free(&list);
}

static void nothing_to_expand(void **state)
{
    (void)state;
    tn_ids list = { 0 };
    assert_int_equal(tn_ids_expand(&list, IMAGE, NULL, 0, "images", NULL), TENEBRA_OK);
    assert_int_equal(list.count, 0);
    tn_ids_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(each_placeholder_gets_its_count),
        cmocka_unit_test(counts_that_do_not_match_are_refused),
        cmocka_unit_test(nothing_to_expand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
