#include "unit/text/support.h"

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

/* Images keep the positions at which they were added, among any number of other ids. */
static void places_of_pictures(void **state)
{
    (void)state;
    tn_ids list = { 0 };
    for (int32_t i = 0; i < 300; i++)
        assert_int_equal((i % 3 == 1 ? tn_ids_push_picture : tn_ids_push)(&list, i, NULL), TENEBRA_OK);
    assert_int_equal(list.count, 300);
    assert_int_equal(list.picture_count, 100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(list.pictures[i], 3 * i + 1);
    tn_ids_free(&list);
    assert_true(list.pictures == NULL && list.picture_count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(places_of_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
